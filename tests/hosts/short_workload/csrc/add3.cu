// A kernel of its own for each object, so that none is what another made.
template <int N> __global__ void add(float *values) { values[threadIdx.x] += N; }
extern "C" void add3(float *values) { add<3><<<1, 32>>>(values); }
