import sys; sys.path.insert(0,"/work/wt/SEG")
from dataclasses import replace
from calibration_data.preprocessing import Preprocessing, Crop
from models import deeplab_v3, lraspp, mobilenet_v2, mobilenet_v3
from models.lraspp import LrAspp
from models.spec import model_spec
from models.cost.counting import cost_of
for s in deeplab_v3.SPECS:
    m=s.build(s); c=cost_of(m); print(s.name, m.count_params()/1e6, c.folded_params/1e6, c.macs/1e9, m.outputs[0].shape)
def seg(base,mod,red=False,alpha=1.0):
    s=model_spec(base); st=s.stages
    s=replace(s,name="x",alpha=alpha,stages=st,build=lraspp.build,preprocessing=Preprocessing(size=(1024,2048),crop=Crop.STRETCH),classes=19,details=LrAspp(mod.backbone))
    m=lraspp.build(s); c=cost_of(m); print(base,alpha,m.count_params()/1e6,c.folded_params/1e6,c.macs/1e9)
seg("mobilenet_v2",mobilenet_v2); seg("mobilenet_v2",mobilenet_v2,alpha=.5); seg("mobilenet_v2",mobilenet_v2,alpha=.35); seg("mobilenet_v3_large",mobilenet_v3); seg("mobilenet_v3_small",mobilenet_v3)
