/* Matrix products: FULLY_CONNECTED rounds once, BATCH_MATMUL twice. */
void net_dense(const net_dense_params *op, const int8_t *in, int8_t *out) {
  for (int32_t row = 0; row < op->rows; ++row) {
    const int8_t *weights = op->weights;
    for (int32_t o = 0; o < op->out_c; ++o) {
      int32_t sum = net_dot(in, weights, op->in_c, 0, op->bias[o]);
      sum = net_multiply_once(sum, op->multiplier[o], op->shift[o]) + op->out_zero;
      *out++ = (int8_t)net_clamp(sum, op->low, op->high);
      weights += op->in_c;
    }
    in += op->in_c;
  }
}

void net_matmul(const net_matmul_params *op, const int8_t *a, const int8_t *b, int8_t *out) {
  const int32_t total = op->batch[0] * op->batch[1] * op->batch[2] * op->batch[3];
  int32_t at[4] = {0, 0, 0, 0};
  for (int32_t number = 0; number < total; ++number) {
    const int8_t *left = a, *right = b;
    for (int32_t axis = 0; axis < 4; ++axis) {
      left += at[axis] * op->batch_a[axis];
      right += at[axis] * op->batch_b[axis];
    }
    for (int32_t i = 0; i < op->rows; ++i) {
      for (int32_t j = 0; j < op->columns; ++j) {
        int32_t sum = 0;
        for (int32_t k = 0; k < op->depth; ++k) {
          sum += (left[i * op->row_a + k * op->depth_a] - op->zero_a) *
                 (right[j * op->column_b + k * op->depth_b] - op->zero_b);
        }
        *out++ = net_finish(sum, op->multiplier, op->shift, op->out_zero, op->low, op->high);
      }
    }
    for (int32_t axis = 3; axis >= 0 && ++at[axis] == op->batch[axis]; --axis) at[axis] = 0;
  }
}
