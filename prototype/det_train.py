import os,sys,time
os.environ["TF_CPP_MIN_LOG_LEVEL"]="2"
import numpy as np, keras, tensorflow as tf
sys.path.insert(0,"/work/wt/SEG")
from calibration_data.datasets.fashion_scenes import wardrobe
from calibration_data.anchors import corners, overlaps, matched
from models.ssdlite import SPECS
spec=SPECS[0]; model=spec.build(spec); d=spec.details
nl=len(model.outputs)//2
levels=d.scales.levels(tuple((o.shape[1],o.shape[2]) for o in model.outputs[:nl]))
A=np.concatenate([l.boxes() for l in levels]); C=11
print(model.count_params(), len(A))
epochs=int(sys.argv[1]); N=int(sys.argv[2]); B=32
tr,te=wardrobe("train"),wardrobe("test")
def rel(b): return b.astype(np.float32)/160
def batch(w,idx,aug,rng=None):
    xs=np.empty((len(idx),160,160,3),np.float32); cls=np.zeros((len(idx),len(A)),np.int32); box=np.zeros((len(idx),len(A),4),np.float32)
    for k,i in enumerate(idx):
        s=w.scene(int(i)); im,b=s.image,s.boxes.copy()
        if aug and rng.random()<.5:
            im=im[:,::-1]; b=np.stack([b[:,0],160-b[:,3],b[:,2],160-b[:,1]],1)
        xs[k]=im; m=matched(A,rel(b)); pos=m>=0
        if pos.any():
            cls[k,pos]=1+s.labels[m[pos]]; box[k,pos]=d.coding.encode(rel(b)[m[pos]],A[pos])
    return (xs-127.5)/127.5, cls, box
# class bias prior
for l in model.layers:
    if l.name.startswith("scores_") and isinstance(l,keras.layers.Conv2D) and not isinstance(l,keras.layers.DepthwiseConv2D):
        l.bias.assign(np.full(l.bias.shape,-4.0,np.float32))
steps=epochs*(N//B)
sched=keras.optimizers.schedules.CosineDecay(2e-4,max(steps-200,1),warmup_target=4e-3,warmup_steps=200)
opt=keras.optimizers.AdamW(sched,weight_decay=1e-4,use_ema=True,ema_momentum=0.995); opt.build(model.trainable_variables)
def flat(out):
    bx=tf.concat([tf.reshape(o,(tf.shape(o)[0],-1,4)) for o in out[:nl]],1)
    sc=tf.concat([tf.reshape(o,(tf.shape(o)[0],-1,C)) for o in out[nl:]],1); return bx,sc
@tf.function
def step(x,cls,box):
    with tf.GradientTape() as t:
        bx,sc=flat(model(x,training=True)); pos=tf.cast(cls>0,tf.float32); n=tf.maximum(tf.reduce_sum(pos),1.)
        y=tf.one_hot(cls,C)[...,1:]; lo=sc[...,1:]
        ce=tf.nn.sigmoid_cross_entropy_with_logits(y,lo); p=tf.sigmoid(lo); pt=y*p+(1-y)*(1-p)
        fl=tf.reduce_sum(ce*(1-pt)**2*(y*.25+(1-y)*.75))/n*1.0
        err=tf.abs(bx-box); hub=tf.where(err<1,.5*err**2,err-.5)
        loss=2*fl+tf.reduce_sum(hub*pos[...,None])/n
    g=t.gradient(loss,model.trainable_variables); g,_=tf.clip_by_global_norm(g,10.); opt.apply(g,model.trainable_variables); return loss
def nms(boxes,scores,th=.5,k=50):
    o=np.argsort(-scores)[:200]; keep=[]
    ov=overlaps(boxes[o],boxes[o])
    alive=np.ones(len(o),bool)
    for i in range(len(o)):
        if alive[i]:
            keep.append(o[i]); alive&=~(ov[i]>th)
    return keep[:k]
def ap50(n):
    det={c:[] for c in range(10)}; ng=np.zeros(10)
    for i in range(0,n,50):
        S=[te.scene(j) for j in range(i,i+50)]
        x=(np.stack([s.image for s in S]).astype(np.float32)-127.5)/127.5
        bx,sc=flat(model(x,training=False)); bx,sc=bx.numpy(),1/(1+np.exp(-sc.numpy()))
        for k,s in enumerate(S):
            g=rel(s.boxes); 
            for c in s.labels: ng[c]+=1
            db=d.coding.decode(bx[k],A)
            for c in range(10):
                v=sc[k,:,1+c]; m=np.flatnonzero(v>.02); gi=np.flatnonzero(s.labels==c); used=set()
                if len(m)==0: continue
                for q in nms(db[m],v[m]):
                    ok=0
                    if len(gi):
                        ov=overlaps(db[m[q:q+1]],g[gi])[0]; j=int(ov.argmax())
                        if ov[j]>=.5 and j not in used: used.add(j); ok=1
                    det[c].append((v[m[q]],ok))
    aps=[]
    for c in range(10):
        a=sorted(det[c],reverse=True); tp=np.cumsum([o for _,o in a]); pr=tp/np.arange(1,len(a)+1); rc=tp/max(ng[c],1)
        pr=np.maximum.accumulate(pr[::-1])[::-1]; aps.append(np.mean([pr[rc>=r].max(initial=0) for r in np.linspace(0,1,101)]))
    return np.mean(aps), np.round(aps,3)
rng=np.random.default_rng(1); t0=time.time()
from concurrent.futures import ThreadPoolExecutor
pool=ThreadPoolExecutor(1)
for e in range(epochs):
    order=rng.permutation(N)+(e*N)%40000
    ch=[order[i:i+B] for i in range(0,N-B+1,B)]
    fut=pool.submit(batch,tr,ch[0],True,rng); L=[]
    for k in range(len(ch)):
        x,c,b=fut.result()
        if k+1<len(ch): fut=pool.submit(batch,tr,ch[k+1],True,rng)
        L.append(step(x,c,b))
    if e%5==4 or e==epochs-1:
        keep=[v.numpy() for v in model.trainable_variables]; opt.finalize_variable_values(model.trainable_variables)
        print(e,float(np.mean(L)),ap50(200),f"{time.time()-t0:.0f}s",flush=True)
        model.save_weights("/tmp/ssdlite_fashion.weights.h5")
        if e==epochs-1: print(ap50(1000))
        else:
            for v,k2 in zip(model.trainable_variables,keep): v.assign(k2)
    else: print(e,float(np.mean(L)),f"{time.time()-t0:.0f}s",flush=True)
