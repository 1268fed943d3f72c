"""What every layer needs: files written into place, progress, threads, compiled kernels, missing packages."""
