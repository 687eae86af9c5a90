// The kernels as ONNX Runtime's custom operators of the domain `mae`, version 1. Each operator is what
// src/compiler/lowering/definitions.ts says of it in ONNX's own operators; attributes carry the names used there.
//
// An attribute `bfloat16` of 1 rounds the factors of products to bfloat16 (see Product in kernels.h).
#include <cstring>
#include <new>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "kernels.h"
#include "onnxruntime.h"

namespace mae {
namespace {

constexpr int max_rank = 8;

struct Shape {
  int64_t dims[max_rank] = {};
  size_t rank = 0;

  int64_t size() const { return size_between(0, rank); }
  int64_t size_between(size_t from, size_t to) const {
    int64_t size = 1;
    for (size_t axis = from; axis < to; axis++) size *= dims[axis];
    return size;
  }
  int64_t last() const { return dims[rank - 1]; }
  // All axes but the last, as one.
  int64_t rows() const { return size_between(0, rank - 1); }
};

struct Tensor {
  Data data;
  Shape shape;
  float* f32() const { return static_cast<float*>(data.data); }
  explicit operator bool() const { return data.data != nullptr; }
};

// What an operator's node says.
struct Attributes {
  int64_t trans_a = 0, trans_b = 0, bfloat16 = 0;
  float alpha = 1, scale = 1, epsilon = 0, beta1 = 0, beta2 = 0;
  Product product() const { return bfloat16 ? Product::bf16 : Product::f32; }
};

// One run of a kernel. The first error that the runtime reports stays, and later calls do nothing.
class Run {
 public:
  Run(const void* api, ort::KernelContext* context, ort::Allocator* allocator, const Attributes& attributes)
      : attributes(attributes),
        api_(api),
        context_(context),
        allocator_(allocator),
        parallel_{&Run::parallel_for, this} {}

  ~Run() {
    if (scratch_ != nullptr) check(ort::AllocatorFree::of(api_)(allocator_, scratch_));
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  const Attributes& attributes;
  const Parallel& parallel() const { return parallel_; }
  bool failed() const { return status_ != nullptr; }
  ort::Status* take_status() {
    ort::Status* status = status_;
    status_ = nullptr;
    return status;
  }

  void fail(const char* message) {
    constexpr int invalid_argument = 2;
    if (!failed()) status_ = ort::CreateStatus::of(api_)(invalid_argument, message);
  }

  // The input at `index`; nothing where it was left out.
  Tensor input(size_t index) {
    size_t count = 0;
    check(ort::KernelContextGetInputCount::of(api_)(context_, &count));
    const ort::Value* value = nullptr;
    if (failed() || index >= count) return {};
    check(ort::KernelContextGetInput::of(api_)(context_, index, &value));
    return value == nullptr ? Tensor{} : tensor(const_cast<ort::Value*>(value));
  }

  // The output at `index`, of a shape that is known now; nothing where no one asked for it.
  Tensor output(size_t index, const Shape& shape) {
    size_t count = 0;
    check(ort::KernelContextGetOutputCount::of(api_)(context_, &count));
    ort::Value* value = nullptr;
    if (failed() || index >= count) return {};
    check(ort::KernelContextGetOutput::of(api_)(context_, index, shape.dims, shape.rank, &value));
    return value == nullptr ? Tensor{} : tensor(value);
  }

  // Memory for this run from the runtime's own allocator, aligned to a cache line.
  void* workspace(size_t bytes) {
    constexpr size_t alignment = 64;
    if (bytes == 0 || failed()) return nullptr;
    check(ort::AllocatorAlloc::of(api_)(allocator_, bytes + alignment, &scratch_));
    if (failed()) return nullptr;
    const size_t address = reinterpret_cast<size_t>(scratch_);
    return reinterpret_cast<void*>((address + alignment - 1) / alignment * alignment);
  }

 private:
  static void parallel_for(void* self, size_t tasks, void (*body)(void*, size_t), void* context) {
    Run* run = static_cast<Run*>(self);
    if (tasks == 1) return body(context, 0);
    if (tasks == 0) return;
    // as many batches as tasks: the runtime's threads take them one by one
    run->check(ort::KernelContextParallelFor::of(run->api_)(run->context_, body, tasks, tasks, context));
  }

  void check(ort::Status* status) {
    if (status == nullptr) return;
    if (failed()) return ort::ReleaseStatus::of(api_)(status);
    status_ = status;
  }

  Tensor tensor(ort::Value* value) {
    Tensor result;
    ort::TypeAndShape* info = nullptr;
    int type = 0;
    check(ort::GetTensorTypeAndShape::of(api_)(value, &info));
    if (failed()) return {};
    check(ort::GetTensorElementType::of(api_)(info, &type));
    check(ort::GetDimensionsCount::of(api_)(info, &result.shape.rank));
    if (result.shape.rank > max_rank) fail("mae: expected a tensor of at most eight axes");
    if (!failed()) check(ort::GetDimensions::of(api_)(info, result.shape.dims, result.shape.rank));
    ort::ReleaseTypeAndShape::of(api_)(info);
    if (!failed()) check(ort::GetTensorMutableData::of(api_)(value, &result.data.data));
    result.data.type = type == ort::element_bfloat16 ? Type::bf16 : Type::f32;
    return failed() ? Tensor{} : result;
  }

  const void* api_;
  ort::KernelContext* context_;
  ort::Allocator* allocator_;
  Parallel parallel_;
  ort::Status* status_ = nullptr;
  void* scratch_ = nullptr;
};

// a, b, bias?, addend? → c?, gelu?
void run_gemm(Run& run) {
  const Tensor a = run.input(0), b = run.input(1), bias = run.input(2), addend = run.input(3);
  if (run.failed()) return;
  if (a.shape.rank != 2 || b.shape.rank != 2) return run.fail("mae.FusedGemm: expected two matrices");
  Gemm problem;
  problem.trans_a = run.attributes.trans_a != 0;
  problem.trans_b = run.attributes.trans_b != 0;
  problem.m = a.shape.dims[problem.trans_a ? 1 : 0];
  problem.k = a.shape.dims[problem.trans_a ? 0 : 1];
  problem.n = b.shape.dims[problem.trans_b ? 0 : 1];
  if (b.shape.dims[problem.trans_b ? 1 : 0] != problem.k) {
    return run.fail("mae.FusedGemm: expected two matrices that multiply");
  }
  if (bias && bias.shape.size() != problem.n) return run.fail("mae.FusedGemm: expected a bias for each column");
  if (addend && addend.shape.size() != problem.m * problem.n) {
    return run.fail("mae.FusedGemm: expected an addend of the product's size");
  }
  const Shape shape{{problem.m, problem.n}, 2};
  problem.alpha = run.attributes.alpha;
  problem.a = a.data;
  problem.b = b.data;
  problem.bias = bias.f32();
  problem.addend = addend.data;
  problem.c = run.output(0, shape).data;
  problem.gelu = run.output(1, shape).data;
  problem.product = run.attributes.product();
  void* workspace = run.workspace(gemm_workspace(problem));
  if (!run.failed()) gemm(problem, workspace, run.parallel());
}

Attention attention_of(const Run& run, const Shape& qkv) {
  return {qkv.dims[0], qkv.dims[1], qkv.dims[3], qkv.dims[4], run.attributes.scale, run.attributes.product()};
}

// qkv [batch, tokens, 3, heads, width] → y [batch, tokens, heads, width], lse [batch, heads, tokens]
void run_attention(Run& run) {
  const Tensor qkv = run.input(0);
  if (run.failed()) return;
  if (qkv.shape.rank != 5) return run.fail("mae.Attention: expected qkv [B, T, 3, H, d]");
  const Attention problem = attention_of(run, qkv.shape);
  const Tensor y = run.output(0, {{problem.batch, problem.tokens, problem.heads, problem.width}, 4});
  const Tensor lse = run.output(1, {{problem.batch, problem.heads, problem.tokens}, 3});
  void* workspace = run.workspace(attention_workspace(problem));
  if (!run.failed()) attention(problem, qkv.data, y.data, lse.f32(), workspace, run.parallel());
}

// dy, qkv, y, lse → dqkv
void run_attention_grad(Run& run) {
  const Tensor dy = run.input(0), qkv = run.input(1), y = run.input(2), lse = run.input(3);
  if (run.failed()) return;
  if (qkv.shape.rank != 5) return run.fail("mae.AttentionGrad: expected qkv [B, T, 3, H, d]");
  const Attention problem = attention_of(run, qkv.shape);
  const Tensor dqkv = run.output(0, qkv.shape);
  void* workspace = run.workspace(attention_grad_workspace(problem));
  if (run.failed()) return;
  attention_grad(problem, dy.data, qkv.data, y.data, lse.f32(), dqkv.data, workspace, run.parallel());
}

// x, scale, bias → y, mean, inv_std
void run_layer_norm(Run& run) {
  const Tensor x = run.input(0), scale = run.input(1), bias = run.input(2);
  if (run.failed()) return;
  Shape statistics = x.shape;
  statistics.dims[statistics.rank - 1] = 1;
  const Tensor y = run.output(0, x.shape), mean = run.output(1, statistics), inv_std = run.output(2, statistics);
  if (run.failed()) return;
  layer_norm(x.shape.rows(), x.shape.last(), run.attributes.epsilon, x.f32(), scale.f32(), bias.f32(), y.data,
             mean.f32(), inv_std.f32(), run.parallel());
}

// dy, x, scale, bias, mean, inv_std, addend? → dx, dscale, dbias, y?
void run_layer_norm_grad(Run& run) {
  const Tensor dy = run.input(0), x = run.input(1), scale = run.input(2), bias = run.input(3);
  const Tensor mean = run.input(4), inv_std = run.input(5), addend = run.input(6);
  if (run.failed()) return;
  const int64_t rows = x.shape.rows(), width = x.shape.last();
  const Tensor dx = run.output(0, x.shape), dscale = run.output(1, scale.shape), dbias = run.output(2, scale.shape);
  const Tensor y = run.output(3, x.shape);
  void* workspace = run.workspace(layer_norm_grad_workspace(rows, width));
  if (run.failed()) return;
  layer_norm_grad(rows, width, dy.data, x.f32(), scale.f32(), bias.f32(), mean.f32(), inv_std.f32(), addend.f32(),
                  dx.f32(), dscale.f32(), dbias.f32(), y.data, workspace, run.parallel());
}

// dy, x → dx, y?
void run_gelu_grad(Run& run) {
  const Tensor dy = run.input(0), x = run.input(1);
  if (run.failed()) return;
  const Tensor dx = run.output(0, x.shape), y = run.output(1, x.shape);
  if (!run.failed()) gelu_grad(x.shape.size(), dy.data, x.data, dx.data, y.data, run.parallel());
}

// x, addend? → sums over all axes but the last
void run_column_sums(Run& run) {
  const Tensor x = run.input(0), addend = run.input(1);
  if (run.failed()) return;
  const int64_t rows = x.shape.rows(), width = x.shape.last();
  const Tensor sums = run.output(0, {{width}, 1});
  void* workspace = run.workspace(column_sums_workspace(rows, width));
  if (!run.failed()) column_sums(rows, width, x.data, addend.f32(), sums.f32(), workspace, run.parallel());
}

// x → Σ x², a scalar
void run_sum_of_squares(Run& run) {
  const Tensor x = run.input(0);
  if (run.failed()) return;
  const Tensor sum = run.output(0, {});
  void* workspace = run.workspace(sum_of_squares_workspace(x.shape.size()));
  if (run.failed()) return;
  *sum.f32() = static_cast<float>(sum_of_squares(x.shape.size(), x.f32(), workspace, run.parallel()));
}

// param, grad, exp_avg, exp_avg_sq, decay, step_size, second_moment_scale, first_moment_share, second_moment_share
// → param, exp_avg, exp_avg_sq; outputs are bound to the memory of the inputs that they replace.
void run_adamw(Run& run) {
  Tensor in[9];
  for (size_t i = 0; i < 9; i++) in[i] = run.input(i);
  if (run.failed()) return;
  const Tensor param = run.output(0, in[0].shape), m = run.output(1, in[2].shape), v = run.output(2, in[3].shape);
  if (run.failed()) return;
  if (param.data.data != in[0].data.data || m.data.data != in[2].data.data || v.data.data != in[3].data.data) {
    return run.fail("mae.AdamW: expected outputs bound to the memory of param, exp_avg and exp_avg_sq");
  }
  const Attributes& given = run.attributes;
  const AdamW scalars{given.beta1, given.beta2, given.epsilon, *in[4].f32(), *in[5].f32(),
                      *in[6].f32(), *in[7].f32(), *in[8].f32()};
  adamw(param.shape.size(), scalars, param.f32(), in[1].f32(), m.f32(), v.f32(), run.parallel());
}

// An operator: its name, how many inputs and outputs it needs and may have, which of them are bfloat16 (one bit a
// position), and what runs.
struct Operator : ort::CustomOp {
  std::string name;
  size_t needed_inputs, inputs, needed_outputs, outputs;
  unsigned bf16_inputs, bf16_outputs;
  void (*run)(Run&);
};

struct Kernel {
  const Operator* op;
  const void* api;
  Attributes attributes;
  ort::Allocator* allocator;

  ~Kernel() {
    if (allocator != nullptr) ort::ReleaseAllocator::of(api)(allocator);
  }
};

const Operator& of(const ort::CustomOp* op) { return *static_cast<const Operator*>(op); }

template <typename Number, typename Getter>
void read(const void* api, const ort::KernelInfo* info, Getter get, const char* name, Number& number) {
  Number value{};
  ort::Status* missing = get(info, name, &value);
  if (missing != nullptr) return ort::ReleaseStatus::of(api)(missing);
  number = value;
}

ort::Status* create_kernel(const ort::CustomOp* op, const void* api, const ort::KernelInfo* info, void** result) {
  constexpr int out_of_memory = 1;
  Kernel* kernel = new (std::nothrow) Kernel{&of(op), api, {}, nullptr};
  if (kernel == nullptr) return ort::CreateStatus::of(api)(out_of_memory, "mae: out of memory");
  const auto get_int = ort::KernelInfoGetAttributeInt64::of(api);
  const auto get_float = ort::KernelInfoGetAttributeFloat::of(api);
  Attributes& attributes = kernel->attributes;
  read(api, info, get_int, "transA", attributes.trans_a);
  read(api, info, get_int, "transB", attributes.trans_b);
  read(api, info, get_int, "bfloat16", attributes.bfloat16);
  read(api, info, get_float, "alpha", attributes.alpha);
  read(api, info, get_float, "scale", attributes.scale);
  read(api, info, get_float, "epsilon", attributes.epsilon);
  read(api, info, get_float, "beta1", attributes.beta1);
  read(api, info, get_float, "beta2", attributes.beta2);
  constexpr int default_memory = 0;
  ort::Status* status = ort::KernelInfoGetAllocator::of(api)(info, default_memory, &kernel->allocator);
  if (status == nullptr) *result = kernel;
  else delete kernel;
  return status;
}

ort::Status* compute(void* state, ort::KernelContext* context) {
  const Kernel* kernel = static_cast<const Kernel*>(state);
  ort::Status* status = nullptr;
  {
    Run run(kernel->api, context, kernel->allocator, kernel->attributes);
    kernel->op->run(run);
    status = run.take_status();
  }
  return status;
}

// `b` where the bit of a position is set, `f` before the last of them: what src/compiler/onnx/encode.ts calls operators.
std::string letters(unsigned bits) {
  std::string text;
  for (; bits != 0; bits >>= 1) text += (bits & 1) != 0 ? 'b' : 'f';
  return text;
}

Operator make_operator(const char* name, size_t needed_inputs, size_t inputs, size_t needed_outputs, size_t outputs,
                       void (*run)(Run&), unsigned bf16_inputs, unsigned bf16_outputs) {
  Operator op{};
  op.version = ort::api_version;
  op.get_name = [](const ort::CustomOp* self) { return of(self).name.c_str(); };
  op.get_execution_provider_type = [](const ort::CustomOp*) -> const char* { return nullptr; };
  op.get_input_type = [](const ort::CustomOp* self, size_t index) {
    return (of(self).bf16_inputs >> index & 1) != 0 ? ort::element_bfloat16 : ort::element_float;
  };
  op.get_input_type_count = [](const ort::CustomOp* self) { return of(self).inputs; };
  op.get_output_type = [](const ort::CustomOp* self, size_t index) {
    return (of(self).bf16_outputs >> index & 1) != 0 ? ort::element_bfloat16 : ort::element_float;
  };
  op.get_output_type_count = [](const ort::CustomOp* self) { return of(self).outputs; };
  op.kernel_destroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  op.get_input_characteristic = [](const ort::CustomOp* self, size_t index) {
    return index < of(self).needed_inputs ? ort::required : ort::optional;
  };
  op.get_output_characteristic = [](const ort::CustomOp* self, size_t index) {
    return index < of(self).needed_outputs ? ort::required : ort::optional;
  };
  op.get_input_memory_type = [](const ort::CustomOp*, size_t) { return 0; };
  op.get_variadic_input_min_arity = [](const ort::CustomOp*) { return 0; };
  op.get_variadic_input_homogeneity = [](const ort::CustomOp*) { return 0; };
  op.get_variadic_output_min_arity = [](const ort::CustomOp*) { return 0; };
  op.get_variadic_output_homogeneity = [](const ort::CustomOp*) { return 0; };
  op.create_kernel_v2 = create_kernel;
  op.kernel_compute_v2 = compute;
  op.get_start_version = [](const ort::CustomOp*) { return 1; };
  op.get_end_version = [](const ort::CustomOp*) { return 1; };
  op.name = name;
  if ((bf16_inputs | bf16_outputs) != 0) op.name += "_" + letters(bf16_inputs) + "_" + letters(bf16_outputs);
  op.needed_inputs = needed_inputs;
  op.inputs = inputs;
  op.needed_outputs = needed_outputs;
  op.outputs = outputs;
  op.bf16_inputs = bf16_inputs;
  op.bf16_outputs = bf16_outputs;
  op.run = run;
  return op;
}

// An operator in all its choices of types: the last two numbers have a bit for each position that may be bfloat16.
// The graphs' side of the same table is src/compiler/graph/own-ops.ts.
struct Row {
  const char* name;
  size_t needed_inputs, inputs, needed_outputs, outputs;
  void (*run)(Run&);
  unsigned flexible_inputs, flexible_outputs;
};

constexpr Row rows[] = {
    {"FusedGemm", 2, 4, 0, 2, run_gemm, 0b0011, 0b11},
    {"Attention", 1, 1, 2, 2, run_attention, 0b1, 0b01},
    {"AttentionGrad", 4, 4, 1, 1, run_attention_grad, 0b0111, 0b1},
    {"FusedLayerNormalization", 3, 3, 3, 3, run_layer_norm, 0, 0b001},
    {"LayerNormalizationGrad", 6, 7, 3, 4, run_layer_norm_grad, 0b1, 0b1000},
    {"GeluGrad", 2, 2, 1, 2, run_gelu_grad, 0b11, 0b11},
    {"ColumnSums", 1, 2, 1, 1, run_column_sums, 0b1, 0},
    {"SumOfSquares", 1, 1, 1, 1, run_sum_of_squares, 0, 0},
    {"AdamW", 9, 9, 3, 3, run_adamw, 0, 0},
};

// Every operator, once for each choice of types.
std::vector<Operator> make_operators() {
  std::vector<Operator> operators;
  for (const Row& row : rows) {
    for (unsigned in = 0; in <= row.flexible_inputs; in++) {
      for (unsigned out = 0; out <= row.flexible_outputs; out++) {
        if ((in & ~row.flexible_inputs) != 0 || (out & ~row.flexible_outputs) != 0) continue;
        operators.push_back(make_operator(row.name, row.needed_inputs, row.inputs, row.needed_outputs, row.outputs,
                                          row.run, in, out));
      }
    }
  }
  return operators;
}

}  // namespace
}  // namespace mae

// What ONNX Runtime calls when the library is registered on a session's options.
MAE_EXPORT mae::ort::Status* RegisterCustomOps(mae::ort::SessionOptions* options, const mae::ort::ApiBase* base) {
  using namespace mae;
  const void* api = base->get_api(ort::api_version);
  if (api == nullptr) return nullptr;
  // the domain has to outlive every session, so it is made once for each runtime and never released
  static const void* known_api = nullptr;
  static ort::CustomOpDomain* domain = nullptr;
  if (known_api != api) {
    ort::Status* status = ort::CreateCustomOpDomain::of(api)("mae", &domain);
    if (status != nullptr) return status;
    static const std::vector<Operator> operators = make_operators();
    for (const Operator& op : operators) {
      status = ort::CustomOpDomainAdd::of(api)(domain, static_cast<const ort::CustomOp*>(&op));
      if (status != nullptr) return status;
    }
    known_api = api;
  }
  return ort::AddCustomOpDomain::of(api)(options, domain);
}

// The operators as text, a line each: name, inputs that are needed and that there may be, the same of outputs, and the
// masks of the inputs and outputs that may be bfloat16. A test compares them with src/compiler/graph/own-ops.ts.
MAE_EXPORT const char* mae_kernels_operators() {
  static const std::string text = [] {
    std::string lines;
    for (const mae::Row& row : mae::rows) {
      lines += row.name;
      for (size_t number : {row.needed_inputs, row.inputs, row.needed_outputs, row.outputs,
                            size_t{row.flexible_inputs}, size_t{row.flexible_outputs}})
        lines += ' ' + std::to_string(number);
      lines += '\n';
    }
    return lines;
  }();
  return text.c_str();
}

// Whether bfloat16 products are faster than float32 ones here. Intel's processors before AMX issue them at half the
// rate of their float32 FMA (119 against 239 GFLOP/s a core); AMD's at twice it.
MAE_EXPORT int mae_kernels_fast_bf16() {
  if (mae::isa() == mae::Isa::amx) return 1;
#if defined(__x86_64__)
  unsigned level, vendor[3];
  __cpuid(0, level, vendor[0], vendor[2], vendor[1]);
  return mae::isa() == mae::Isa::avx512_bf16 && memcmp(vendor, "AuthenticAMD", sizeof vendor) == 0;
#else
  return 0;
#endif
}

// The instructions that the kernels use: an Isa's name.
MAE_EXPORT const char* mae_kernels_isa() { return mae::isa_name(mae::isa()); }
