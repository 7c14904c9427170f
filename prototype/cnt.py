import sys; sys.path.insert(0,"/work/wt/SEG")
from dataclasses import replace
from calibration_data.preprocessing import Preprocessing, Crop
from models import ssdlite, mobilenet_v2, mobilenet_v1, mobilenet_v3, efficientnet_lite
from models.ssdlite import SsdLite, Predictor, SPECS
from models.spec import model_spec
from models.cost.counting import *
import models.cost.counting as c
m=SPECS[0].build(SPECS[0]); print(m.count_params(), [(o.name,tuple(o.shape)) for o in m.outputs][:8])
def show(base, mod, size, cls, **k):
    s=model_spec(base)
    s=replace(s,name="x",build=ssdlite.build,preprocessing=Preprocessing(size=(size,size),crop=Crop.STRETCH),classes=cls,details=SsdLite(mod.backbone,mod.last_convolution,**k))
    if base.startswith("efficientnet"): pass
    try:
        m=ssdlite.build(s); cost=c.model_cost(m) if hasattr(c,"model_cost") else None
        print(base,size,cls,k, m.count_params()/1e6, cost and cost.macs/1e9, cost and cost.folded_params/1e6)
    except Exception as e: print(base, repr(e)[:300])
print([n for n in dir(c) if "cost" in n.lower()])
show("mobilenet_v2",mobilenet_v2,320,80); show("mobilenet_v2",mobilenet_v2,320,80,predictor=Predictor.FULL); show("mobilenet_v2",mobilenet_v2,300,90)
show("mobilenet_v1",mobilenet_v1,320,80); show("mobilenet_v3_large",mobilenet_v3,320,80); show("mobilenet_v3_small",mobilenet_v3,320,80)
