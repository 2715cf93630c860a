#include "sim/common/trace.h"

#include <stdio.h>

#define PRIME 0x100000001b3U

uint64_t trace_hash(uint64_t hash, mn_time at, uint64_t what, struct mn_span bytes)
{
    hash = (hash ^ at) * PRIME;
    hash = (hash ^ what) * PRIME;
    for (; bytes.size >= 8; bytes = mn_span(bytes.data + 8, bytes.size - 8)) {
        hash = (hash ^ mn_load_u64(bytes.data)) * PRIME;
        hash ^= hash >> 32; /* or the high half of these would never reach the low one */
    }
    for (size_t i = 0; i < bytes.size; i++)
        hash = (hash ^ bytes.data[i]) * PRIME;
    return hash;
}

void trace_fail(bool *has_failed, char failure[256], const char *format, va_list args)
{
    if (*has_failed) return;
    *has_failed = true;
    vsnprintf(failure, 256, format, args);
}
