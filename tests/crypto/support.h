/* support.h: what the tests of crypto/ share. */
#ifndef TESTS_CRYPTO_SUPPORT_H
#define TESTS_CRYPTO_SUPPORT_H

#include <check.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/text.h"

/* Decodes hex of exactly [size] bytes, as typed into a test. */
static inline void from_hex(const char *text, uint8_t *bytes, size_t size)
{
    mn_status status = mn_hex_decode(mn_span_str(text), bytes, size);
    ck_assert_int_eq(status, MN_OK);
}

static inline void assert_hex(const uint8_t *bytes, size_t size, const char *text)
{
    char *shown = malloc(2 * size + 1);
    mn_hex_encode(mn_span(bytes, size), shown);
    ck_assert_str_eq(shown, text);
    free(shown);
}

/* 00 01 02 ... */
static inline void counting(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)i;
}

/* Calls [refused] with a copy of [bytes] for each flipped bit; all must be refused. */
static inline void assert_each_flipped_bit_refused(struct mn_span bytes,
                                                   bool (*refused)(struct mn_span flipped))
{
    uint8_t *copy = malloc(bytes.size);

    memcpy(copy, bytes.data, bytes.size);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        ck_assert_msg(refused(mn_span(copy, bytes.size)), "bit %zu of byte %zu", bit % 8, bit / 8);
        copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    free(copy);
}

/* Runs one suite; what main() returns. */
static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    if (sodium_init() < 0) abort();
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
