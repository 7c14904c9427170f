/* Numbers that change their places and keep their values. */
static int32_t net_next(int32_t *at, const int32_t *sizes, int32_t axes) {
  for (int32_t axis = axes - 1; axis >= 0; --axis) {
    if (++at[axis] < sizes[axis]) return 1;
    at[axis] = 0;
  }
  return 0;
}

void net_move(const net_move_params *op, const int8_t *in, int8_t *out) {
  int32_t at[5] = {0, 0, 0, 0, 0};
  do {
    const int8_t *from = in + op->from_start;
    int8_t *to = out + op->to_start;
    for (int32_t axis = 0; axis < 5; ++axis) {
      from += at[axis] * op->from[axis];
      to += at[axis] * op->to[axis];
    }
    for (int32_t i = 0; i < op->sizes[5]; ++i) to[i * op->to[5]] = from[i * op->from[5]];
  } while (net_next(at, op->sizes, 5));
}

void net_pick(const net_pick_params *op, const int8_t *in, int8_t *out) {
  int32_t at[6] = {0, 0, 0, 0, 0, 0};
  do {
    const int8_t *from = in;
    for (int32_t axis = 0; axis < 6; ++axis) from += op->places[axis][at[axis]];
    for (int32_t i = 0; i < op->run; ++i) *out++ = from[i];
  } while (net_next(at, op->sizes, 6));
}

void net_fill(const net_fill_params *op, int8_t *out) {
  for (int32_t i = 0; i < op->bytes; ++i) out[i] = (int8_t)op->value;
}
