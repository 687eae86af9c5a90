// Attention, a task a head. The head's rows are gathered into padded buffers that stay in the second-level cache. The
// forward pass makes and uses up the scores of a block of queries at a time; the backward pass, which knows each row's
// log Σ exp beforehand, those of a panel of keys.
#include "dispatch.h"

#include <thread>

#include "attention_products.h"

namespace mae::MAE_ISA {
namespace {

constexpr int64_t block_queries = 64;                    // forward
constexpr int64_t panel = padding, keys_of_group = 256;  // backward: a panel of keys, and of queries too

// --- memory of a task --------------------------------------------------------------------------------------------

// Hands out buffers of one slot; without a base it counts what they take.
struct Buffers {
  char* base;
  size_t used = 0;
  float* take(int64_t floats) {
    float* at = base ? reinterpret_cast<float*>(base + used) : nullptr;
    used += round_up(floats * 4, 64);
    return at;
  }
};

// More tasks than this do not run at a time.
int64_t slots_of(int64_t tasks) {
  static const int64_t processors = larger(1, std::thread::hardware_concurrency());
  return smaller(tasks, smaller(processors, 256));
}

// body(task, slot): no two tasks have a slot at the same time. The lowest free slot is the warmest.
template <class Body>
void for_tasks_with_slots(const Parallel& parallel, int64_t tasks, Body body) {
  const int64_t slots = slots_of(tasks);
  bool taken[256] = {};
  for_tasks(parallel, tasks, [&](int64_t task) {
    int64_t slot = 0;
    while (__atomic_exchange_n(&taken[slot], true, __ATOMIC_ACQUIRE)) slot = (slot + 1) % slots;
    body(task, slot);
    __atomic_store_n(&taken[slot], false, __ATOMIC_RELEASE);
  });
}

// --- rows of a head ----------------------------------------------------------------------------------------------

// The rows of one head in a tensor of many: `tokens` of `width`, `stride` elements apart.
struct Rows {
  Data data;
  int64_t offset, stride, tokens, width;
};

// q, k or v, as `part` is 0, 1 or 2, of [batch, tokens, 3, heads, width].
Rows rows_of_qkv(const Attention& of, Data data, int64_t task, int part) {
  const int64_t batch = task / of.heads, head = task % of.heads, stride = 3 * of.heads * of.width;
  return {data, batch * of.tokens * stride + (part * of.heads + head) * of.width, stride, of.tokens, of.width};
}
// One head of [batch, tokens, heads, width].
Rows rows_of_y(const Attention& of, Data data, int64_t task) {
  const int64_t batch = task / of.heads, head = task % of.heads, stride = of.heads * of.width;
  return {data, batch * of.tokens * stride + head * of.width, stride, of.tokens, of.width};
}

template <class T>
Floats load_up_to(const T* from, int64_t count) {
  if (count >= lanes) return load(from);
  return count > 0 ? load(from, Part{static_cast<int>(count)}) : Floats{};
}

// The processor does not foresee rows that lie a page apart.
template <class T>
void prefetch_row(const T* row, int64_t width) {
  for (int64_t j = 0; j < width; j += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(row + j);
}

// Gathers rows into row form, column form or both, padded with zeros.
template <class Form>
void gather(const Rows& rows, Word* by_rows, Word* by_columns) {
  const int64_t padded = round_up(rows.width, padding);
  with_pointer(rows.data, [&](auto* data) {
    for (int64_t row = 0; row < round_up(rows.tokens, padding); row += 2) {
      const auto* from = data + rows.offset + row * rows.stride;
      for (int64_t ahead = row + 16; ahead < smaller(row + 18, rows.tokens); ahead++)
        prefetch_row(data + rows.offset + ahead * rows.stride, rows.width);
      const int64_t width0 = row < rows.tokens ? rows.width : 0, width1 = row + 1 < rows.tokens ? rows.width : 0;
      for (int64_t j = 0; j < padded; j += lanes) {
        const Floats x0 = width0 > j ? load_up_to(from + j, width0 - j) : Floats{};
        const Floats x1 = width1 > j ? load_up_to(from + rows.stride + j, width1 - j) : Floats{};
        put<Form>(x0, x1, row, j, by_rows, padded / Form::per_word, by_columns, padded);
      }
    }
  });
}

// Row first + i = from[i]·factor(i)
template <class Factor>
void scatter(const Rows& rows, int64_t first, int64_t count, const float* from, Factor factor) {
  const int64_t padded = round_up(rows.width, padding);
  with_pointer(rows.data, [&](auto* data) {
    for (int64_t i = 0; i < count; i++) {
      auto* to = data + rows.offset + (first + i) * rows.stride;
      const float by = factor(i);
      for_vectors(rows.width, [&](int64_t j, auto part) { store(to + j, load(from + i * padded + j) * by, part); });
    }
  });
}

// delta[i] = Σ dy[i, :]∘y[i, :]
void row_products(const Rows& dy, const Rows& y, float* delta) {
  with_pointer(dy.data, [&](auto* dy_data) {
    with_pointer(y.data, [&](auto* y_data) {
      for (int64_t i = 0; i < y.tokens; i++) {
        const auto *a = dy_data + dy.offset + i * dy.stride;
        const auto *b = y_data + y.offset + i * y.stride;
        delta[i] = sum_vectors(y.width, [&](int64_t j, auto part) { return load(a + j, part) * load(b + j, part); });
      }
    });
  });
}

// --- forward -----------------------------------------------------------------------------------------------------

struct Forward {
  Word *q, *k, *k_transposed, *v, *p;
  float *scores, *y;
  template <class Form>
  static Forward in(const Attention& of, Buffers& buffers) {
    const int64_t tokens = round_up(of.tokens, padding), width = round_up(of.width, padding);
    const int64_t words = tokens * width / Form::per_word;
    Forward at;
    at.q = buffers.take(words);
    at.k = buffers.take(words);
    at.k_transposed = buffers.take(words);
    at.v = buffers.take(words);
    at.scores = buffers.take(block_queries * tokens);
    at.p = Form::per_word == 1 ? at.scores : buffers.take(block_queries * tokens / Form::per_word);
    at.y = buffers.take(block_queries * width);
    return at;
  }
};

// Two rows of scores become exp(scale·score − their maximum) in p, padded with zeros.
struct Sums {
  float max[2], sum[2];
};
template <class Form>
Sums softmax_rows(int64_t tokens, float scale, const float* scores, int64_t row, Word* p) {
  const int64_t stride = round_up(tokens, padding);
  const float *s0 = scores + row * stride, *s1 = s0 + stride;
  const float least = -__builtin_inff();
  Floats max0 = splat(least), max1 = max0, sum0 = {}, sum1 = {};
  for_vectors(tokens, [&](int64_t j, auto part) {
    max0 = max(max0, keep(load(s0 + j) * scale, part, least));
    max1 = max(max1, keep(load(s1 + j) * scale, part, least));
  });
  const float top0 = max(max0), top1 = max(max1);
  for_vectors(tokens, [&](int64_t j, auto part) {
    const Floats p0 = keep(exp(fma(load(s0 + j), scale, -top0)), part);
    const Floats p1 = keep(exp(fma(load(s1 + j), scale, -top1)), part);
    sum0 += p0;
    sum1 += p1;
    put<Form>(p0, p1, row, j, p, stride / Form::per_word, nullptr, 0);
  });
  for (int64_t j = round_up(tokens, lanes); j < stride; j += lanes)
    put<Form>(Floats{}, Floats{}, row, j, p, stride / Form::per_word, nullptr, 0);
  return {{top0, top1}, {sum(sum0), sum(sum1)}};
}

template <class Form>
void forward(const Attention& of, const Rows& q, const Rows& k, const Rows& v, const Rows& y, float* lse,
             Buffers buffers) {
  const Forward at = Forward::in<Form>(of, buffers);
  const int64_t tokens = round_up(of.tokens, padding), width = round_up(of.width, padding), per = Form::per_word;
  gather<Form>(q, at.q, nullptr);
  gather<Form>(k, at.k, nullptr);
  gather<Form>(v, nullptr, at.v);
  transpose(tokens, width / per, at.k, width / per, at.k_transposed, tokens);
  const Tiles tiles;
  for (int64_t first = 0; first < of.tokens; first += block_queries) {
    const int64_t count = smaller(block_queries, of.tokens - first);
    multiply<Form>({count, of.tokens, of.width, at.q + first * (width / per), width / per, at.k_transposed, tokens,
                    at.scores, tokens, false});
    float sums[block_queries];
    for (int64_t row = 0; row < count; row += 2) {
      const Sums pair = softmax_rows<Form>(of.tokens, of.scale, at.scores, row, at.p);
      for (int64_t i = 0; i < 2 && row + i < count; i++) {
        sums[row + i] = pair.sum[i];
        lse[first + row + i] = pair.max[i] + __builtin_logf(pair.sum[i]);
      }
    }
    multiply<Form>({count, of.width, of.tokens, at.p, tokens / per, at.v, width, at.y, width, false});
    scatter(y, first, count, at.y, [&](int64_t i) { return 1 / sums[i]; });
  }
}

// --- backward ----------------------------------------------------------------------------------------------------

struct Backward {
  Word *q, *q_transposed, *k_transposed, *k_columns, *v_transposed, *dy, *dy_transposed;
  float *scores, *dp;          // [panel, panel]
  Word *p_columns;             // [tokens, panel]
  Word *ds, *ds_columns;       // [tokens, keys_of_group], [tokens, panel]
  int64_t ds_columns_stride;
  float *dx_transposed, *dx;   // dk or dv of a panel
  float *dq, *delta;
  template <class Form>
  static Backward in(const Attention& of, Buffers& buffers) {
    const int64_t tokens = round_up(of.tokens, padding), width = round_up(of.width, padding);
    const int64_t words = tokens * width / Form::per_word, group = smaller(keys_of_group, tokens);
    Backward at;
    at.q = buffers.take(words);
    at.q_transposed = buffers.take(words);
    at.k_transposed = buffers.take(words);
    at.k_columns = buffers.take(words);
    at.v_transposed = buffers.take(words);
    at.dy = buffers.take(words);
    at.dy_transposed = buffers.take(words);
    at.scores = buffers.take(panel * panel);
    at.dp = buffers.take(panel * panel);
    at.p_columns = buffers.take(tokens * panel / Form::per_word);
    at.ds = buffers.take(tokens * group / Form::per_word);
    // With one float a word the panel's column form is a part of the row form.
    at.ds_columns = Form::per_word == 1 ? nullptr : buffers.take(tokens * panel / Form::per_word);
    at.ds_columns_stride = Form::per_word == 1 ? group : panel;
    at.dx_transposed = buffers.take(width * panel);
    at.dx = buffers.take(width * panel);
    at.dq = buffers.take(tokens * width);
    at.delta = buffers.take(tokens);
    return at;
  }
};

// What left·rightᵀ and the products with its gradient take: of `left` the row form and that of its transpose, of
// `right` the column form of the transpose and, where wanted, the column form.
template <class Form>
void gather_for_scores(const Rows& left, Word* left_rows, Word* left_transposed, const Rows& right,
                       Word* right_transposed, Word* right_columns, Word* scratch) {
  const int64_t tokens = round_up(left.tokens, padding), width = round_up(left.width, padding), per = Form::per_word;
  // The transpose of column form is row form of the transpose, and the other way round.
  gather<Form>(left, left_rows, scratch);
  transpose(tokens / per, width, per == 1 ? left_rows : scratch, width, left_transposed, tokens / per);
  Word* right_rows = per == 1 && right_columns ? right_columns : scratch;
  gather<Form>(right, right_rows, right_columns);
  transpose(tokens, width / per, right_rows, width / per, right_transposed, tokens);
}

// A block of queries against a panel of keys: of scores and dP = dy·vᵀ, both [count, keys], come
// P = exp(scale·score − lse) and dS = P∘(dP − delta)·scale, from `row` and `column` on.
template <class Form>
void gradient_of_block(const Attention& of, const Backward& at, const float* lse, int64_t first, int64_t count,
                       int64_t keys, Word* ds, int64_t ds_stride, Word* ds_columns) {
  const auto put_both = [&](Floats p0, Floats p1, Floats ds0, Floats ds1, int64_t row, int64_t j) {
    put<Form>(p0, p1, first + row, j, nullptr, 0, at.p_columns, panel);
    put<Form>(ds0, ds1, first + row, j, ds, ds_stride, ds_columns, at.ds_columns_stride);
  };
  const Floats scale = splat(of.scale);
  int64_t row = 0;
  for (; row < count; row += 2) {
    const bool second = row + 1 < count;
    const Floats lse0 = splat(-lse[first + row]), lse1 = splat(second ? -lse[first + row + 1] : 0);
    const Floats delta0 = splat(-at.delta[first + row] * of.scale),
                 delta1 = splat(second ? -at.delta[first + row + 1] * of.scale : 0);
    const float *s0 = at.scores + row * panel, *s1 = s0 + panel, *dp0 = at.dp + row * panel, *dp1 = dp0 + panel;
    const auto do_vector = [&](int64_t j, auto part) {
      const Floats p0 = exp(fma(load(s0 + j), scale, lse0)), ds0 = p0 * fma(load(dp0 + j), scale, delta0);
      const Floats p1 = second ? exp(fma(load(s1 + j), scale, lse1)) : Floats{};
      const Floats ds1 = second ? p1 * fma(load(dp1 + j), scale, delta1) : Floats{};
      put_both(keep(p0, part), keep(p1, part), keep(ds0, part), keep(ds1, part), row, j);
    };
    for (int64_t j = 0; j < panel; j += lanes)
      if (j + lanes <= keys)
        do_vector(j, Whole{});
      else
        do_vector(j, Part{static_cast<int>(larger(0, keys - j))});
  }
  for (; row < round_up(count, Form::depth_unit); row += 2)
    for (int64_t j = 0; j < panel; j += lanes) put_both(Floats{}, Floats{}, Floats{}, Floats{}, row, j);
}

template <class Form>
void backward(const Attention& of, const Rows& dy, const Rows& q, const Rows& k, const Rows& v, const Rows& y,
              const float* lse, const Rows& dq, const Rows& dk, const Rows& dv, Buffers buffers) {
  const Backward at = Backward::in<Form>(of, buffers);
  const int64_t tokens = round_up(of.tokens, padding), width = round_up(of.width, padding), per = Form::per_word;
  const int64_t group_stride = smaller(keys_of_group, tokens) / per;
  gather_for_scores<Form>(q, at.q, at.q_transposed, k, at.k_transposed, at.k_columns, at.dq);
  gather_for_scores<Form>(dy, at.dy, at.dy_transposed, v, at.v_transposed, nullptr, at.dq);
  row_products(dy, y, at.delta);
  const Tiles tiles;
  // dx = (aᵀ·panel)ᵀ for the keys of a panel
  const auto finish_panel = [&](const Word* a_transposed, const Word* columns, int64_t stride, const Rows& dx,
                                int64_t key, int64_t keys) {
    multiply<Form>({of.width, keys, of.tokens, a_transposed, tokens / per, columns, stride, at.dx_transposed, panel,
                    false});
    transpose(width, panel, at.dx_transposed, panel, at.dx, width);
    scatter(dx, key, keys, at.dx, [](int64_t) { return 1.f; });
  };
  for (int64_t group = 0; group < of.tokens; group += keys_of_group) {
    const int64_t group_end = smaller(of.tokens, group + keys_of_group);
    for (int64_t key = group; key < group_end; key += panel) {
      const int64_t keys = smaller(panel, group_end - key);
      Word* ds = at.ds + (key - group) / per;
      Word* ds_columns = per == 1 ? ds : at.ds_columns;
      for (int64_t first = 0; first < of.tokens; first += panel) {
        const int64_t count = smaller(panel, of.tokens - first), from = first * (width / per);
        multiply<Form>({count, keys, of.width, at.q + from, width / per, at.k_transposed + key, tokens, at.scores,
                        panel, false});
        multiply<Form>({count, keys, of.width, at.dy + from, width / per, at.v_transposed + key, tokens, at.dp,
                        panel, false});
        gradient_of_block<Form>(of, at, lse, first, count, keys, ds, group_stride, ds_columns);
      }
      finish_panel(at.dy_transposed, at.p_columns, panel, dv, key, keys);
      finish_panel(at.q_transposed, ds_columns, at.ds_columns_stride, dk, key, keys);
    }
    multiply<Form>({of.tokens, of.width, group_end - group, at.ds, group_stride, at.k_columns + group / per * width,
                    width, at.dq, width, group > 0});
  }
  scatter(dq, 0, of.tokens, at.dq, [](int64_t) { return 1.f; });
}

// body(Form) for the form in which the products are wanted.
template <class Body>
void with_form(Product product, Body body) {
  if (product == Product::f32)
    body(Exact{});
  else
    body(Bf16Form{});
}

size_t workspace_of(const Attention& of, size_t slot_bytes) {
  return slot_bytes * static_cast<size_t>(slots_of(of.batch * of.heads));
}

template <class Scratch, class Form>
size_t slot_bytes(const Attention& of) {
  Buffers count{nullptr};
  Scratch::template in<Form>(of, count);
  return count.used;
}

}  // namespace

size_t attention_workspace(const Attention& attention) {
  size_t bytes = 0;
  with_form(attention.product, [&](auto form) { bytes = slot_bytes<Forward, decltype(form)>(attention); });
  return workspace_of(attention, bytes);
}

void attention(const Attention& attention, Data qkv, Data y, float* lse, void* workspace, const Parallel& parallel) {
  with_form(attention.product, [&](auto form) {
    using Form = decltype(form);
    const size_t bytes = slot_bytes<Forward, Form>(attention);
    for_tasks_with_slots(parallel, attention.batch * attention.heads, [&](int64_t task, int64_t slot) {
      forward<Form>(attention, rows_of_qkv(attention, qkv, task, 0), rows_of_qkv(attention, qkv, task, 1),
                    rows_of_qkv(attention, qkv, task, 2), rows_of_y(attention, y, task),
                    lse + task * attention.tokens, Buffers{static_cast<char*>(workspace) + slot * bytes});
    });
  });
}

size_t attention_grad_workspace(const Attention& attention) {
  size_t bytes = 0;
  with_form(attention.product, [&](auto form) { bytes = slot_bytes<Backward, decltype(form)>(attention); });
  return workspace_of(attention, bytes);
}

void attention_grad(const Attention& attention, Data dy, Data qkv, Data y, const float* lse, Data dqkv,
                    void* workspace, const Parallel& parallel) {
  with_form(attention.product, [&](auto form) {
    using Form = decltype(form);
    const size_t bytes = slot_bytes<Backward, Form>(attention);
    for_tasks_with_slots(parallel, attention.batch * attention.heads, [&](int64_t task, int64_t slot) {
      const auto part = [&](Data data, int index) { return rows_of_qkv(attention, data, task, index); };
      backward<Form>(attention, rows_of_y(attention, dy, task), part(qkv, 0), part(qkv, 1), part(qkv, 2),
                     rows_of_y(attention, y, task), lse + task * attention.tokens, part(dqkv, 0), part(dqkv, 1),
                     part(dqkv, 2), Buffers{static_cast<char*>(workspace) + slot * bytes});
    });
  });
}

}  // namespace mae::MAE_ISA

MAE_DISPATCH(size_t, attention_workspace, (const Attention& attention), (attention))
MAE_DISPATCH(void, attention,
             (const Attention& attention, Data qkv, Data y, float* lse, void* workspace, const Parallel& parallel),
             (attention, qkv, y, lse, workspace, parallel))
MAE_DISPATCH(size_t, attention_grad_workspace, (const Attention& attention), (attention))
MAE_DISPATCH(void, attention_grad,
             (const Attention& attention, Data dy, Data qkv, Data y, const float* lse, Data dqkv, void* workspace,
              const Parallel& parallel),
             (attention, dy, qkv, y, lse, dqkv, workspace, parallel))
