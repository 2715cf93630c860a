#include "proto/base/crc.h"

/* Eight tables, eight bytes at a time (Kounavis & Berry, "A Systematic Approach to Building High
 * Performance, Software-based, CRC Generators", 2005), where the processor has no instruction. */
static uint32_t crc_tables[8][256];
static int crc_has_tables, crc_has_instruction = -1;

static void crc_make_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
        crc_tables[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++)
            crc_tables[k][i] =
                crc_tables[k - 1][i] >> 8 ^ crc_tables[0][crc_tables[k - 1][i] & 255];
    __atomic_store_n(&crc_has_tables, 1, __ATOMIC_RELEASE);
}

static uint32_t crc_by_table(uint32_t crc, const uint8_t *at, size_t size)
{
    if (!__atomic_load_n(&crc_has_tables, __ATOMIC_ACQUIRE)) crc_make_tables();
    for (; size >= 8; size -= 8, at += 8) {
        uint32_t low = crc ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                              (uint32_t)at[3] << 24);
        crc = crc_tables[7][low & 255] ^ crc_tables[6][low >> 8 & 255] ^
              crc_tables[5][low >> 16 & 255] ^ crc_tables[4][low >> 24] ^ crc_tables[3][at[4]] ^
              crc_tables[2][at[5]] ^ crc_tables[1][at[6]] ^ crc_tables[0][at[7]];
    }
    for (; size > 0; size--, at++)
        crc = crc >> 8 ^ crc_tables[0][(crc ^ *at) & 255];
    return crc;
}

#if defined(__x86_64__)
static int crc_find_instruction(void)
{
    uint32_t a = 1, b, c = 0, d;

    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return (c >> 20 & 1) != 0; /* SSE 4.2 */
}

__attribute__((target("sse4.2"))) static uint32_t crc_by_instruction(uint32_t crc,
                                                                     const uint8_t *at, size_t size)
{
    uint64_t wide = crc, word;

    for (; size >= 8; size -= 8, at += 8) {
        memcpy(&word, at, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; size > 0; size--, at++)
        crc = __builtin_ia32_crc32qi(crc, *at);
    return crc;
}
#else
static int crc_find_instruction(void)
{
    return 0;
}

static uint32_t crc_by_instruction(uint32_t crc, const uint8_t *at, size_t size)
{
    return crc_by_table(crc, at, size);
}
#endif

uint32_t mn_crc32c(uint32_t crc, struct mn_span bytes)
{
    int has_instruction = __atomic_load_n(&crc_has_instruction, __ATOMIC_RELAXED);

    if (has_instruction < 0) {
        has_instruction = crc_find_instruction();
        __atomic_store_n(&crc_has_instruction, has_instruction, __ATOMIC_RELAXED);
    }
    if (bytes.size == 0) return crc;
    return ~(has_instruction ? crc_by_instruction(~crc, bytes.data, bytes.size)
                             : crc_by_table(~crc, bytes.data, bytes.size));
}
