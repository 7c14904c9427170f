/* CONV_2D of one pixel by one: four channels of the result at a time. */
void net_pointwise(const void *params, const net_rows *in, const net_rows *out, int32_t first,
                   int32_t end) {
  const net_pointwise_params *op = params;
  const int32_t depth = op->in_c;
  for (int32_t y = first; y < end; ++y) {
    const int8_t *pixel = net_row(in, y * op->stride_h);
    int8_t *to = net_row(out, y);
#ifdef NET_CMSIS_NN
    if (net_cmsis_pointwise(op, pixel, to)) continue;
#endif
    for (int32_t x = 0; x < op->out_w; ++x) {
      const int8_t *weights = op->weights;
      int32_t o = 0;
      for (; o + 4 <= op->out_c; o += 4) {
        int32_t sums[4];
        memcpy(sums, op->bias + o, sizeof sums);
        net_dot4(pixel, weights, depth, depth, 0, sums);
        net_finish4(sums, op->multiplier + o, op->shift + o, op->out_zero, op->low, op->high, to);
        to += 4;
        weights += 4 * depth;
      }
      for (; o < op->out_c; ++o) {
        const int32_t sum = net_dot(pixel, weights, depth, 0, op->bias[o]);
        *to++ = net_finish(sum, op->multiplier[o], op->shift[o], op->out_zero, op->low, op->high);
        weights += depth;
      }
      pixel += op->stride_w * depth;
    }
  }
}
