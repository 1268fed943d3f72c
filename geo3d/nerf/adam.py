"""Temporary."""
import numpy as np


class Adam:
    def __init__(self, parameters):
        self.m={k:np.zeros_like(v) for k,v in parameters.items()}; self.v={k:np.zeros_like(v) for k,v in parameters.items()}; self.t=0
    def step(self, parameters, gradients, rates):
        self.t+=1
        for k,g in gradients.items():
            m,v=self.m[k],self.v[k]
            m+=0.1*(g-m); v+=0.01*(g*g-v)
            parameters[k]-=rates[k]*(m/(1-.9**self.t))/(np.sqrt(v/(1-.99**self.t))+1e-15)
    def arrays(self): return {**{f"m.{k}":v for k,v in self.m.items()}, **{f"v.{k}":v for k,v in self.v.items()},"t":np.array([self.t])}
    def restore(self,a):
        self.t=int(a["t"][0])
        for k in self.m: self.m[k][...]=a[f"m.{k}"]; self.v[k][...]=a[f"v.{k}"]
