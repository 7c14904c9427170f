/* DEPTHWISE_CONV_2D: the taps inside the image are the same for all channels of a pixel. */
static int32_t net_taps_before(int32_t start, int32_t dilation) {
  return start < 0 ? (-start + dilation - 1) / dilation : 0;
}

static int32_t net_taps_end(int32_t start, int32_t dilation, int32_t taps, int32_t size) {
  const int32_t inside = (size - start + dilation - 1) / dilation;
  return size <= start ? 0 : inside < taps ? inside : taps;
}

void net_depthwise(const void *params, const net_rows *in, const net_rows *out, int32_t first,
                   int32_t end) {
  const net_depthwise_params *op = params;
  const int32_t out_c = op->in_c * op->depth;
  for (int32_t y = first; y < end; ++y) {
    int8_t *to = net_row(out, y);
    const int32_t top = y * op->stride_h - op->pad_top;
    const int32_t i0 = net_taps_before(top, op->dilation_h);
    const int32_t i1 = net_taps_end(top, op->dilation_h, op->kernel_h, op->in_h);
    for (int32_t x = 0; x < op->out_w; ++x) {
      const int32_t left = x * op->stride_w - op->pad_left;
      const int32_t j0 = net_taps_before(left, op->dilation_w);
      const int32_t j1 = net_taps_end(left, op->dilation_w, op->kernel_w, op->in_w);
      for (int32_t c = 0, m = 0, o = 0; o < out_c; ++o) {
        int32_t sum = op->bias[o];
        for (int32_t i = i0; i < i1; ++i) {
          const int8_t *pixel = net_row(in, top + i * op->dilation_h) +
                                (left + j0 * op->dilation_w) * op->in_c + c;
          const int8_t *weight = op->weights + (i * op->kernel_w + j0) * out_c + o;
          for (int32_t j = j0; j < j1; ++j) {
            sum += (*pixel - op->in_zero) * *weight;
            pixel += op->dilation_w * op->in_c;
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
