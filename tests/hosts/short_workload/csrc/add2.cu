// A kernel of its own for each object, so that none is what another made.
template <int N> __global__ void add(float *values) { values[threadIdx.x] += N; }
extern "C" void add2(float *values) { add<2><<<1, 32>>>(values); }
