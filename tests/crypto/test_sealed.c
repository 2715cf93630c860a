/* Sealed strings: the format to the byte, and nothing but the one scope opens one. */
#include "crypto/digest.h"
#include "crypto/sealed.h"
#include "tests/crypto/support.h"

#define EXPIRES_S 0x70000000u
#define BEFORE_MS ((uint64_t)EXPIRES_S * 1000 - 1)
#define CHECK_TEXT                                             \
    "AQHerb7vcAAAAKRxVyFDBSXYzO6QtzcaM_AfIpYEQgSUxkt9mL5HrGJa" \
    "0wvLzJCTyuv0uXghSoxZ9wtIU_3FJKHDq8Hn-_WYyo_hbr6i6Ts6rg"

static struct sealed_scope scope;
static uint8_t key[SEALED_KEY_SIZE];
static struct mn_arena arena;
static struct mn_span text, opened;

static void setup(void)
{
    memset(key, 0x11, sizeof key);
    scope = (struct sealed_scope){.what = SEALED_SESSION};
    memset(scope.mesh_id.bytes, 0x22, 16);
    memset(scope.principal.bytes, 0x33, 16);
    ck_assert_int_eq(sealed_make(&scope, key, 0xdeadbeef, EXPIRES_S,
                                 mn_span_str("session 0123456789abcdef"), &arena, &text),
                     MN_OK);
}

static void teardown(void)
{
    mn_arena_done(&arena);
    arena = (struct mn_arena){0};
}

static mn_status open_text(struct mn_span of)
{
    return sealed_open(of, &scope, key, BEFORE_MS, &arena, &opened);
}

START_TEST(published_value_comes_out)
{
    ck_assert(mn_span_is(text, CHECK_TEXT));
    ck_assert_int_eq(open_text(mn_span_str(CHECK_TEXT)), MN_OK);
    ck_assert(mn_span_is(opened, "session 0123456789abcdef"));
}
END_TEST

START_TEST(header_is_read_without_a_key)
{
    struct sealed_header header;

    ck_assert_int_eq(sealed_peek(text, SEALED_SESSION, &header), MN_OK);
    ck_assert_uint_eq(header.key_id, 0xdeadbeef);
    ck_assert_uint_eq(header.expires_s, EXPIRES_S);
    ck_assert_int_eq(sealed_peek(text, SEALED_CURSOR, &header), MN_MALFORMED);
    ck_assert_int_eq(sealed_peek(mn_span("AQ", 2), SEALED_SESSION, &header), MN_MALFORMED);
}
END_TEST

static bool is_refused(struct mn_span flipped)
{
    return open_text(flipped) != MN_OK;
}

START_TEST(no_bit_of_the_text_is_free)
{
    assert_each_flipped_bit_refused(text, is_refused);
}
END_TEST

START_TEST(cut_and_extended_strings_are_refused)
{
    for (size_t size = 0; size < text.size; size++)
        ck_assert_int_ne(open_text(mn_span(text.data, size)), MN_OK);
    ck_assert_int_ne(open_text(mn_span_str(CHECK_TEXT "A")), MN_OK);
    ck_assert_int_ne(open_text(mn_span_str(CHECK_TEXT "=")), MN_OK);
    ck_assert_int_ne(open_text(mn_span_str(CHECK_TEXT "\n")), MN_OK);
    ck_assert_int_ne(open_text(mn_span_str(CHECK_TEXT CHECK_TEXT)), MN_OK);
    ck_assert_int_eq(open_text(mn_span_str(CHECK_TEXT CHECK_TEXT CHECK_TEXT)), MN_TOO_BIG);
}
END_TEST

START_TEST(opens_for_its_principal_only)
{
    scope.principal.bytes[15] ^= 1;
    ck_assert_int_eq(open_text(text), MN_CRYPTO);
}
END_TEST

START_TEST(opens_in_its_context_mesh_and_kind_only)
{
    struct sealed_scope right = scope;

    scope.context.bytes[0] ^= 1;
    ck_assert_int_eq(open_text(text), MN_CRYPTO);
    scope = right;
    scope.mesh_id.bytes[0] ^= 1;
    ck_assert_int_eq(open_text(text), MN_CRYPTO);
    scope = right;
    scope.what = SEALED_TASK;
    ck_assert_int_eq(open_text(text), MN_MALFORMED);
    scope = right;
    key[0] ^= 1;
    ck_assert_int_eq(open_text(text), MN_CRYPTO);
}
END_TEST

/* The byte that names the kind, changed to the kind that is asked for. */
START_TEST(kind_cannot_be_swapped)
{
    uint8_t bytes[128];
    char swapped[256];
    size_t size;

    ck_assert_int_eq(sodium_base642bin(bytes, sizeof bytes, (const char *)text.data, text.size,
                                       NULL, &size, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING),
                     0);
    bytes[1] = SEALED_TASK;
    sodium_bin2base64(swapped, sizeof swapped, bytes, size,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    scope.what = SEALED_TASK;
    ck_assert_int_eq(open_text(mn_span_str(swapped)), MN_CRYPTO);
}
END_TEST

START_TEST(ends_at_its_time)
{
    ck_assert_int_eq(
        sealed_open(text, &scope, key, (uint64_t)EXPIRES_S * 1000 - 1, &arena, &opened), MN_OK);
    ck_assert_int_eq(sealed_open(text, &scope, key, (uint64_t)EXPIRES_S * 1000, &arena, &opened),
                     MN_EXPIRED);
}
END_TEST

/* Every size up to the largest comes back, none above is taken, and sizes show in steps only. */
START_TEST(every_size_comes_back)
{
    static const enum sealed_what kinds[] = {SEALED_SESSION, SEALED_CURSOR, SEALED_REQUEST_STATE,
                                             SEALED_TASK, SEALED_UPSTREAM_STATE};
    enum sealed_what what = kinds[_i];
    size_t max = sealed_plain_max(what), step = max > 1024 ? 97 : 1;
    uint8_t *plain = calloc(1, max + 1);
    struct mn_span sealed;

    scope.what = what;
    for (size_t i = 0; i <= max; i++)
        plain[i] = (uint8_t)(i * 7);
    for (size_t size = 0; size <= max;
         size = size == max ? max + 1 : (size + step > max ? max : size + step)) {
        ck_assert_int_eq(
            sealed_make(&scope, key, 1, EXPIRES_S, mn_span(plain, size), &arena, &sealed), MN_OK);
        ck_assert_uint_le(sealed.size, sealed_text_max(what));
        ck_assert_int_eq(open_text(sealed), MN_OK);
        ck_assert(mn_span_equal(opened, mn_span(plain, size)));
        mn_arena_reset(&arena);
    }
    ck_assert_int_eq(
        sealed_make(&scope, key, 1, EXPIRES_S, mn_span(plain, max + 1), &arena, &sealed),
        MN_TOO_BIG);
    free(plain);
}
END_TEST

START_TEST(equal_plain_gives_equal_text_and_other_plain_another_nonce)
{
    struct mn_span again, other;

    ck_assert_int_eq(sealed_make(&scope, key, 0xdeadbeef, EXPIRES_S,
                                 mn_span_str("session 0123456789abcdef"), &arena, &again),
                     MN_OK);
    ck_assert_int_eq(sealed_make(&scope, key, 0xdeadbeef, EXPIRES_S,
                                 mn_span_str("session 0123456789abcdeF"), &arena, &other),
                     MN_OK);
    ck_assert(mn_span_equal(again, text));
    ck_assert_int_ne(memcmp(other.data + 16, text.data + 16, 16), 0);
}
END_TEST

START_TEST(contexts_keep_their_parts_apart)
{
    mn_id a = sealed_context_list(mn_span_str("/mcp"), mn_span_str("tools/list"));
    mn_id b = sealed_context_list(mn_span_str("/mcpt"), mn_span_str("ools/list"));
    mn_id c = sealed_context_request(mn_span_str("tools/call"), mn_span_str("{\"name\":\"a\"}"));
    mn_id d = sealed_context_request(mn_span_str("tools/call"), mn_span_str("{\"name\":\"b\"}"));

    ck_assert(!mn_id_equal(&a, &b));
    ck_assert(!mn_id_equal(&c, &d));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sealed");
    TCase *tcase = tcase_create("sealed");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, published_value_comes_out);
    tcase_add_test(tcase, header_is_read_without_a_key);
    tcase_add_test(tcase, no_bit_of_the_text_is_free);
    tcase_add_test(tcase, cut_and_extended_strings_are_refused);
    tcase_add_test(tcase, opens_for_its_principal_only);
    tcase_add_test(tcase, opens_in_its_context_mesh_and_kind_only);
    tcase_add_test(tcase, kind_cannot_be_swapped);
    tcase_add_test(tcase, ends_at_its_time);
    tcase_add_loop_test(tcase, every_size_comes_back, 0, 5);
    tcase_add_test(tcase, equal_plain_gives_equal_text_and_other_plain_another_nonce);
    tcase_add_test(tcase, contexts_keep_their_parts_apart);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
