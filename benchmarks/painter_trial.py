import sys, time, torch, numpy as np
from torch.nn import functional as F
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from tutor.families import FamilyModel, gpt2, sample, shift_for_next_token
torch.set_num_threads(int(sys.argv[3]) if len(sys.argv)>3 else 1)
seed=int(sys.argv[1]); steps=int(sys.argv[2])
X,y=load_digits(return_X_y=True); X=X.astype(int)
LEVELS=int(sys.argv[4]) if len(sys.argv)>4 else 17
Xq=np.round(X/16*(LEVELS-1)).astype(int)
judge=SVC(gamma=0.001).fit(X[:1200]/16*16,y[:1200]); print("judge on the rest",judge.score(X[1200:],y[1200:]))
tokens=torch.tensor(np.concatenate([LEVELS+y[:,None],Xq],1))  # name, then 64 pixels
g=torch.Generator().manual_seed(seed); torch.manual_seed(seed)
model=FamilyModel(gpt2(vocabulary=LEVELS+10,max_length=65,width=64,num_heads=4,hidden_width=128,num_decoder_layers=3))
print(sum(p.numel() for p in model.parameters()))
for m in model.modules():
    if isinstance(m,torch.nn.Embedding): torch.nn.init.normal_(m.weight,std=0.02)
opt=torch.optim.AdamW(model.parameters(),3e-3,weight_decay=0.01); sched=torch.optim.lr_scheduler.OneCycleLR(opt,3e-3,steps,pct_start=0.1)
t=time.time()
for step in range(steps):
    b=tokens[torch.randint(0,len(tokens),(64,),generator=g)]
    read,said=shift_for_next_token(b,torch.full((64,),65))
    loss=F.cross_entropy(model(read).flatten(0,1),said.flatten())
    opt.zero_grad(); loss.backward(); torch.nn.utils.clip_grad_norm_(model.parameters(),1.); opt.step(); sched.step()
    if step%100==99: print(step+1,f"{loss.item():.3f}",f"{time.time()-t:.0f}s",flush=True)
model.eval()
names=torch.arange(10).repeat_interleave(10)
for temp,p in ((1.0,None),(0.8,None),(1.0,0.9),(0.7,None)):
    w=(LEVELS+names)[:,None]
    with torch.no_grad():
        for _ in range(64):
            l=model(w)[:,-1,:LEVELS]
            w=torch.cat((w,sample(l,torch.rand(100,generator=g),temp,None,p)[:,None]),1)
    pix=w[:,1:].numpy()*16/(LEVELS-1)
    print(temp,p,"recognised",(judge.predict(pix)==names.numpy()).mean())
