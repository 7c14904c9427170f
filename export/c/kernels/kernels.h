/* Integer kernels of the network, bit for bit TensorFlow Lite's reference kernels. */
#ifndef NET_KERNELS_H
#define NET_KERNELS_H

#include <stdint.h>

/* Rows of an image, of which `count` are in memory: row y is at data + y % count * bytes. */
typedef struct {
  int8_t *data;
  int32_t count;
  int32_t bytes;
} net_rows;

static inline int8_t *net_row(const net_rows *rows, int32_t y) {
  return rows->data + y % rows->count * rows->bytes;
}

/* A kernel on rows: computes rows first to end - 1 of the result. */
typedef void net_row_kernel(const void *params, const net_rows *in, const net_rows *out,
                            int32_t first, int32_t end);

/* Four sums as integers of a result. */
void net_finish4(const int32_t *sums, const int32_t *multiplier, const int8_t *shift, int32_t zero,
                 int32_t low, int32_t high, int8_t *out);

/* Taps of a window that begins at `start` that are inside of `size` pixels: the first, the end. */
static inline int32_t net_taps_before(int32_t start, int32_t dilation) {
  return start < 0 ? (-start + dilation - 1) / dilation : 0;
}

static inline int32_t net_taps_end(int32_t start, int32_t dilation, int32_t taps, int32_t size) {
  const int32_t inside = (size - start + dilation - 1) / dilation;
  return size <= start ? 0 : inside < taps ? inside : taps;
}

/* CONV_2D: weights [out_c][kernel_h][kernel_w][group_in]. */
typedef struct {
  int32_t in_h, in_w, in_c, out_w, out_c;
  int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
  int32_t group_in, group_out;
  int32_t in_zero, out_zero, low, high;
  const int8_t *weights;
  const int32_t *bias;
  const int32_t *multiplier;
  const int8_t *shift;
} net_conv_2d_params;
net_row_kernel net_conv_2d;

/* CONV_2D of one pixel by one: bias - in_zero * sum(weights) is stored, weights [out_c][in_c]. */
typedef struct {
  int32_t in_c, out_w, out_c, stride_h, stride_w;
  int32_t out_zero, low, high;
  const int8_t *weights;
  const int32_t *bias;
  const int32_t *multiplier;
  const int8_t *shift;
} net_pointwise_params;
net_row_kernel net_pointwise;

/* DEPTHWISE_CONV_2D: weights [kernel_h][kernel_w][in_c * depth]. */
typedef struct {
  int32_t in_h, in_w, in_c, out_w, depth;
  int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
  int32_t in_zero, out_zero, low, high;
  const int8_t *weights;
  const int32_t *bias;
  const int32_t *multiplier;
  const int8_t *shift;
} net_depthwise_params;
net_row_kernel net_depthwise;

#ifdef NET_CMSIS_NN
/* A row of the result by CMSIS-NN, whose window begins at row `top`; 0 where it has no kernel. */
int net_cmsis_pointwise(const net_pointwise_params *op, const int8_t *row, int8_t *to);
int net_cmsis_conv_2d(const net_conv_2d_params *op, const net_rows *rows, int32_t top, int8_t *to);
int net_cmsis_depthwise(const net_depthwise_params *op, const net_rows *rows, int32_t top,
                        int8_t *to);
#endif

/* AVERAGE_POOL_2D and MAX_POOL_2D. */
typedef struct {
  int32_t in_h, in_w, channels, out_w;
  int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  int32_t low, high;
} net_pool_params;
net_row_kernel net_average_pool;
net_row_kernel net_max_pool;

/* ADD and SUB of two images of one shape; bytes of a row. */
typedef struct {
  int32_t bytes;
  int32_t zero_a, zero_b, out_zero, low, high;
  int32_t multiplier_a, shift_a, multiplier_b, shift_b, multiplier, shift;
} net_add_params;
net_row_kernel net_add;

/* Functions of one integer, by a table; bytes of a row. */
typedef struct {
  int32_t bytes;
  const int8_t *table;
} net_lookup_params;
net_row_kernel net_lookup;

/* Elementwise operators of two operands, one of which may be smaller: strides of 0. */
typedef struct {
  int32_t sizes[6], strides_a[6], strides_b[6];
  int32_t left_shift;
  int32_t zero_a, zero_b, out_zero, low, high;
  int32_t multiplier_a, shift_a, multiplier_b, shift_b, multiplier, shift;
} net_binary_params;
void net_sum(const net_binary_params *op, const int8_t *a, const int8_t *b, int8_t *out);
void net_product(const net_binary_params *op, const int8_t *a, const int8_t *b, int8_t *out);
void net_maximum(const net_binary_params *op, const int8_t *a, const int8_t *b, int8_t *out);
void net_minimum(const net_binary_params *op, const int8_t *a, const int8_t *b, int8_t *out);
void net_squared_difference(const net_binary_params *op, const int8_t *a, const int8_t *b,
                            int8_t *out);
void net_prelu(const net_binary_params *op, const int8_t *a, const int8_t *b, int8_t *out);

/* FULLY_CONNECTED: weights [out_c][in_c], bias - in_zero * sum(weights), one rounding. */
typedef struct {
  int32_t rows, in_c, out_c;
  int32_t out_zero, low, high;
  const int8_t *weights;
  const int32_t *bias;
  const int32_t *multiplier;
  const int8_t *shift;
} net_dense_params;
void net_dense(const net_dense_params *op, const int8_t *in, int8_t *out);

/* TRANSPOSE_CONV: weights [out_c][kernel_h][kernel_w][in_c]. */
typedef struct {
  int32_t in_h, in_w, in_c, out_h, out_w, out_c;
  int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  int32_t in_zero, out_zero, low, high;
  const int8_t *weights;
  const int32_t *bias;
  const int32_t *multiplier;
  const int8_t *shift;
} net_transpose_conv_params;
void net_transpose_conv(const net_transpose_conv_params *op, const int8_t *in, int8_t *out);

/* BATCH_MATMUL: strides of a batch, a row and a column of both operands. */
typedef struct {
  int32_t batch[4], batch_a[4], batch_b[4];
  int32_t rows, columns, depth;
  int32_t row_a, depth_a, column_b, depth_b;
  int32_t zero_a, zero_b, out_zero, low, high;
  int32_t multiplier, shift;
} net_matmul_params;
void net_matmul(const net_matmul_params *op, const int8_t *a, const int8_t *b, int8_t *out);

/* MEAN, REDUCE_MAX and REDUCE_MIN: sizes and strides of the axes that stay, and of the others. */
typedef struct {
  int32_t sizes[6], strides[6], reduced[6], reduced_strides[6];
  int32_t zero_sum, out_zero, low, high, multiplier, shift;
} net_reduce_params;
void net_mean(const net_reduce_params *op, const int8_t *in, int8_t *out);
void net_reduce_max(const net_reduce_params *op, const int8_t *in, int8_t *out);
void net_reduce_min(const net_reduce_params *op, const int8_t *in, int8_t *out);

/* MEAN of an image row by row, in a chain: in[1] has an int32 sum for each channel. */
typedef struct {
  int32_t in_h, in_w, channels;
  int32_t zero_sum, out_zero, low, high, multiplier, shift;
} net_mean_rows_params;
net_row_kernel net_mean_rows;

/* SOFTMAX over the last axis. */
typedef struct {
  int32_t rows, depth, multiplier, shift, lowest;
} net_softmax_params;
void net_softmax(const net_softmax_params *op, const int8_t *in, int8_t *out);

/* L2_NORMALIZATION over the last axis. */
typedef struct {
  int32_t rows, depth, in_zero;
} net_l2_params;
void net_l2_normalization(const net_l2_params *op, const int8_t *in, int8_t *out);

/* RESIZE_BILINEAR: distances of pixels in 1024ths. */
typedef struct {
  int32_t in_h, in_w, channels, out_h, out_w;
  int32_t step_h, step_w, offset_h, offset_w;
} net_resize_params;
void net_resize_bilinear(const net_resize_params *op, const int8_t *in, int8_t *out);

/* Numbers moved from one order of axes to another. */
typedef struct {
  int32_t sizes[6], from[6], to[6];
  int32_t from_start, to_start;
} net_move_params;
void net_move(const net_move_params *op, const int8_t *in, int8_t *out);

/* Numbers at places of a table along each axis; runs of `run` numbers lie together. */
typedef struct {
  int32_t sizes[6];
  int32_t run;
  const int32_t *places[6];
} net_pick_params;
void net_pick(const net_pick_params *op, const int8_t *in, int8_t *out);

/* One number everywhere. */
typedef struct {
  int32_t bytes, value;
} net_fill_params;
void net_fill(const net_fill_params *op, int8_t *out);

/* A stage of a chain that runs by rows: what a row of its result needs of the stage before. */
typedef struct {
  net_row_kernel *run;
  const void *params;
  net_rows in[2];
  net_rows out;
  int32_t stride, before, extent;
} net_stage;

/* Runs `count` stages until the last has all of its rows; `next` has a zero for each stage. */
void net_run_stages(const net_stage *stages, int32_t *next, const int32_t *heights, int32_t count);

/* Runs rows first to end - 1 of the last stage; `heights` has the rows of every stage. */
void net_run_patch(const net_stage *stages, int32_t *next, int32_t *heights, int32_t count,
                   int32_t first, int32_t end);

#endif
