// See micro_mutable_op_resolver.h: a model is the bytes that begin it.
#ifndef TENSORFLOW_LITE_SCHEMA_SCHEMA_GENERATED_H_
#define TENSORFLOW_LITE_SCHEMA_SCHEMA_GENERATED_H_

namespace tflite {

struct Model {
  unsigned char root[4];
  unsigned char identifier[4];
};

inline const Model* GetModel(const void* content) {
  const Model* model = static_cast<const Model*>(content);
  const bool fits = model->identifier[0] == 'T' && model->identifier[1] == 'F' &&
                    model->identifier[2] == 'L' && model->identifier[3] == '3';
  return fits ? model : nullptr;
}

}  // namespace tflite

#endif  // TENSORFLOW_LITE_SCHEMA_SCHEMA_GENERATED_H_
