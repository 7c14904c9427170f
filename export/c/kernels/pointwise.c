/* CONV_2D of one pixel by one: four channels of the result at a time. */
void net_pointwise(const void *params, const net_rows *in, const net_rows *out, int32_t first,
                   int32_t end) {
  const net_pointwise_params *op = params;
  const int32_t depth = op->in_c;
  for (int32_t y = first; y < end; ++y) {
    const int8_t *pixel = net_row(in, y * op->stride_h);
    int8_t *to = net_row(out, y);
    for (int32_t x = 0; x < op->out_w; ++x) {
      const int8_t *weights = op->weights;
      int32_t o = 0;
      for (; o + 4 <= op->out_c; o += 4) {
        int32_t sum0 = op->bias[o], sum1 = op->bias[o + 1];
        int32_t sum2 = op->bias[o + 2], sum3 = op->bias[o + 3];
        const int8_t *w0 = weights, *w1 = w0 + depth, *w2 = w1 + depth, *w3 = w2 + depth;
        for (int32_t c = 0; c < depth; ++c) {
          const int32_t value = pixel[c];
          sum0 += value * w0[c];
          sum1 += value * w1[c];
          sum2 += value * w2[c];
          sum3 += value * w3[c];
        }
        to[0] = net_finish(sum0, op->multiplier[o], op->shift[o], op->out_zero, op->low, op->high);
        to[1] = net_finish(sum1, op->multiplier[o + 1], op->shift[o + 1], op->out_zero, op->low,
                           op->high);
        to[2] = net_finish(sum2, op->multiplier[o + 2], op->shift[o + 2], op->out_zero, op->low,
                           op->high);
        to[3] = net_finish(sum3, op->multiplier[o + 3], op->shift[o + 3], op->out_zero, op->low,
                           op->high);
        to += 4;
        weights += 4 * depth;
      }
      for (; o < op->out_c; ++o) {
        int32_t sum = op->bias[o];
        for (int32_t c = 0; c < depth; ++c) sum += pixel[c] * weights[c];
        *to++ = net_finish(sum, op->multiplier[o], op->shift[o], op->out_zero, op->low, op->high);
        weights += depth;
      }
      pixel += op->stride_w * depth;
    }
  }
}
