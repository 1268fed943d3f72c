"""3D Gaussian splatting: rendering and training. Kerbl et al., SIGGRAPH 2023."""
