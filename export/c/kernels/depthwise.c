/* DEPTHWISE_CONV_2D: the taps inside the image are the same for all channels of a pixel. */
void net_depthwise(const void *params, const net_rows *in, const net_rows *out, int32_t first,
                   int32_t end) {
  const net_depthwise_params *op = params;
  const int32_t out_c = op->in_c * op->depth;
  const int32_t fours = op->depth == 1 ? out_c & ~3 : 0;
  const int32_t step = op->dilation_w * op->in_c;
  for (int32_t y = first; y < end; ++y) {
    int8_t *to = net_row(out, y);
    const int32_t top = y * op->stride_h - op->pad_top;
#ifdef NET_CMSIS_NN
    if (net_cmsis_depthwise(op, in, top, to)) continue;
#endif
    const int32_t i0 = net_taps_before(top, op->dilation_h);
    const int32_t i1 = net_taps_end(top, op->dilation_h, op->kernel_h, op->in_h);
    for (int32_t x = 0; x < op->out_w; ++x) {
      const int32_t left = x * op->stride_w - op->pad_left;
      const int32_t j0 = net_taps_before(left, op->dilation_w);
      const int32_t j1 = net_taps_end(left, op->dilation_w, op->kernel_w, op->in_w);
      const int32_t start = (left + j0 * op->dilation_w) * op->in_c;
      int32_t o = 0;
      for (; o < fours; o += 4) {
        int32_t sums[4];
        memcpy(sums, op->bias + o, sizeof sums);
        for (int32_t i = i0; i < i1; ++i) {
          const int8_t *pixel = net_row(in, top + i * op->dilation_h) + start + o;
          const int8_t *weight = op->weights + (i * op->kernel_w + j0) * out_c + o;
          net_scale4(pixel, step, weight, out_c, j1 - j0, op->in_zero, sums);
        }
        net_finish4(sums, op->multiplier + o, op->shift + o, op->out_zero, op->low, op->high, to);
        to += 4;
      }
      for (int32_t c = o / op->depth, m = 0; o < out_c; ++o) {
        int32_t sum = op->bias[o];
        for (int32_t i = i0; i < i1; ++i) {
          const int8_t *pixel = net_row(in, top + i * op->dilation_h) + start + c;
          const int8_t *weight = op->weights + (i * op->kernel_w + j0) * out_c + o;
          for (int32_t j = j0; j < j1; ++j) {
            sum += (*pixel - op->in_zero) * *weight;
            pixel += step;
            weight += out_c;
          }
        }
        *to++ = net_finish(sum, op->multiplier[o], op->shift[o], op->out_zero, op->low, op->high);
        if (++m == op->depth) {
          m = 0;
          ++c;
        }
      }
    }
  }
}
