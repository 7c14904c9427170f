import os,sys,time
os.environ["TF_CPP_MIN_LOG_LEVEL"]="2"
import numpy as np, keras, tensorflow as tf
sys.path.insert(0,"/work/wt/SEG")
from calibration_data.datasets.fashion_scenes import wardrobe, SPLITS
from models.lraspp import SPECS
spec=SPECS[0]; model=spec.build(spec); print(model.count_params())
if len(sys.argv)<2: sys.exit()
epochs=int(sys.argv[1]); N=int(sys.argv[2]); B=32
tr,te=wardrobe("train"),wardrobe("test")
def batch(w,idx,aug,rng=None):
    xs=np.empty((len(idx),160,160,3),np.float32); ms=np.empty((len(idx),160,160),np.uint8)
    for k,i in enumerate(idx):
        s=w.scene(int(i)); im,m=s.image,s.mask
        if aug and rng.random()<.5: im,m=im[:,::-1],m[:,::-1]
        xs[k]=im; ms[k]=m
    return (xs-127.5)/127.5, ms
steps=epochs*(N//B)
sched=keras.optimizers.schedules.CosineDecay(2e-4,steps-200,warmup_target=3e-3,warmup_steps=200)
opt=keras.optimizers.AdamW(sched,weight_decay=1e-4,use_ema=True,ema_momentum=0.995)
w=np.ones(11,np.float32); w[0]=.5
@tf.function
def step(x,m):
    with tf.GradientTape() as t:
        lo=model(x,training=True); lo=tf.image.resize(lo,(80,80))
        mm=tf.cast(m[:,::2,::2],tf.int32)
        ce=tf.nn.sparse_softmax_cross_entropy_with_logits(mm,lo)*tf.gather(w,mm)
        loss=tf.reduce_mean(ce)
    g=t.gradient(loss,model.trainable_variables); opt.apply(g,model.trainable_variables); return loss
def miou(n):
    conf=np.zeros((11,11),np.int64)
    for i in range(0,n,50):
        x,m=batch(te,range(i,i+50),False)
        p=tf.argmax(tf.image.resize(model(x,training=False),(160,160)),-1).numpy()
        conf+=np.bincount((m.astype(int)*11+p).ravel(),minlength=121).reshape(11,11)
    iou=np.diag(conf)/(conf.sum(0)+conf.sum(1)-np.diag(conf)); return iou.mean(), iou.round(3)
opt.build(model.trainable_variables)
rng=np.random.default_rng(1); t0=time.time()
from concurrent.futures import ThreadPoolExecutor
pool=ThreadPoolExecutor(1)
for e in range(epochs):
    base=(e*N)%2_000_000  # fresh scenes each epoch
    order=rng.permutation(N)+ (e*N)
    ch=[order[i:i+B] for i in range(0,N-B+1,B)]
    fut=pool.submit(batch,tr,ch[0],True,rng); L=[]
    for k in range(len(ch)):
        x,m=fut.result()
        if k+1<len(ch): fut=pool.submit(batch,tr,ch[k+1],True,rng)
        L.append(step(x,m))
    if e%4==3 or e==epochs-1:
        keep=[v.numpy() for v in model.trainable_variables]; opt.finalize_variable_values(model.trainable_variables)
        r=miou(200); print(e,float(np.mean(L)),r[0],r[1],f"{time.time()-t0:.0f}s",flush=True)
        if e==epochs-1: print(miou(1000)); model.save_weights("/tmp/lraspp_fashion.weights.h5")
        else: 
            model.save_weights("/tmp/lraspp_fashion.part.weights.h5")
            for v,k2 in zip(model.trainable_variables,keep): v.assign(k2)
    else: print(e,float(np.mean(L)),f"{time.time()-t0:.0f}s",flush=True)
