/* Randomness, digests, signatures, identity, tokens: known values and refusals. */
#include <sodium.h>

#include "crypto/digest.h"
#include "crypto/identity.h"
#include "crypto/rng.h"
#include "crypto/sign.h"
#include "crypto/token.h"
#include "tests/crypto/support.h"

/* ---- rng ---- */

START_TEST(rng_equal_seeds_give_equal_streams_however_drawn)
{
    uint8_t seed[32], whole[2000], parts[2000];
    struct rng a, b;
    size_t at = 0;

    counting(seed, sizeof seed);
    rng_init(&a, seed);
    rng_init(&b, seed);
    rng_bytes(&a, whole, sizeof whole);
    for (size_t step = 1; at < sizeof parts; step = step * 2 + 1) {
        size_t size = step < sizeof parts - at ? step : sizeof parts - at;
        rng_bytes(&b, parts + at, size);
        at += size;
    }
    ck_assert_mem_eq(whole, parts, sizeof whole);
    ck_assert_uint_eq(rng_u64(&a), rng_u64(&b));
}
END_TEST

/* RFC 8439 ChaCha20 under the zero key, second half of the first block: what follows the new key.
 */
START_TEST(rng_is_chacha20_behind_its_new_key)
{
    static const uint8_t seed[32];
    uint8_t drawn[32];
    struct rng rng;

    rng_init(&rng, seed);
    rng_bytes(&rng, drawn, sizeof drawn);
    assert_hex(drawn, sizeof drawn,
               "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586");
}
END_TEST

START_TEST(rng_does_not_keep_what_it_gave)
{
    uint8_t seed[32], drawn[64];
    struct rng rng;

    counting(seed, sizeof seed);
    rng_init(&rng, seed);
    rng_bytes(&rng, drawn, sizeof drawn);
    for (size_t i = 0; i < sizeof drawn; i++)
        ck_assert_uint_eq(rng.block[i], 0);
    ck_assert_mem_ne(rng.key, seed, sizeof seed);
}
END_TEST

START_TEST(rng_below_stays_below_and_reaches_all)
{
    uint8_t seed[32] = {7};
    uint32_t seen[6] = {0};
    struct rng rng;

    rng_init(&rng, seed);
    for (unsigned i = 0; i < 6000; i++)
        seen[rng_below(&rng, 6)]++;
    for (unsigned i = 0; i < 6; i++)
        ck_assert_uint_gt(seen[i], 800);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_uint_eq(rng_below(&rng, 1), 0);
        ck_assert(rng_below_u64(&rng, UINT64_MAX) < UINT64_MAX);
    }
}
END_TEST

START_TEST(rng_children_differ_from_their_parent_and_each_other)
{
    uint8_t seed[32] = {1};
    struct rng parent, first, second;
    mn_id a, b, c;

    rng_init(&parent, seed);
    rng_fork(&parent, &first);
    rng_fork(&parent, &second);
    a = rng_id(&parent);
    b = rng_id(&first);
    c = rng_id(&second);
    ck_assert(!mn_id_equal(&a, &b) && !mn_id_equal(&b, &c) && !mn_id_equal(&a, &c));
}
END_TEST

/* ---- digest ---- */

/* python: hashlib.blake2b(b"meshnode/1/kid\0" + bytes(range(32)), digest_size=8) and so on */
START_TEST(digest_of_eight_bytes_matches_a_second_implementation)
{
    uint8_t pk[32], kid[8];
    mn_id node = {{0}};

    counting(pk, sizeof pk);
    digest_key_id(pk, kid);
    assert_hex(kid, sizeof kid, "f9b1d4326c964b4f");
    counting(node.bytes, sizeof node.bytes);
    ck_assert_uint_eq(digest_ring_id(&node), UINT64_C(0x31401d1a993d3cfa));
}
END_TEST

START_TEST(digest_variable_parts_cannot_move_into_each_other)
{
    uint8_t one[32], two[32], known[32];
    struct digest digest;

    digest_begin(&digest, DIGEST_PRINCIPAL, sizeof one);
    digest_variable(&digest, mn_span_str("ab"));
    digest_variable(&digest, mn_span_str("c"));
    digest_end(&digest, one);
    digest_begin(&digest, DIGEST_PRINCIPAL, sizeof two);
    digest_variable(&digest, mn_span_str("a"));
    digest_variable(&digest, mn_span_str("bc"));
    digest_end(&digest, two);
    ck_assert_mem_ne(one, two, sizeof one);
    from_hex("70ef283dad4242fb03529e62399f97d0ad3814ebc28073db675db93013538f18", known,
             sizeof known);
    ck_assert_mem_eq(one, known, sizeof one);
}
END_TEST

START_TEST(digest_tags_separate)
{
    uint8_t part[32] = {0};
    mn_id mesh = digest_mesh_id(part), token = digest_token_id(part);

    ck_assert(!mn_id_equal(&mesh, &token));
}
END_TEST

/* ---- sign ---- */

static void test_key(struct sign_key *key, uint8_t fill)
{
    uint8_t seed[SIGN_SEED_SIZE];

    memset(seed, fill, sizeof seed);
    sign_key_init(key, seed);
}

START_TEST(sign_covers_tag_mesh_and_body)
{
    struct mn_span body = mn_span_str("the exact bytes that travel");
    mn_id mesh = {{1}}, other = {{2}};
    uint8_t signature[SIGN_SIZE];
    struct sign_key key, stranger;

    test_key(&key, 3);
    test_key(&stranger, 4);
    sign_make(&key, SIGN_GRANT, &mesh, body, signature);
    ck_assert_int_eq(sign_check(key.pk, SIGN_GRANT, &mesh, body, signature), MN_OK);
    ck_assert_int_eq(sign_check(key.pk, SIGN_INVITE, &mesh, body, signature), MN_BAD_SIGNATURE);
    ck_assert_int_eq(sign_check(key.pk, SIGN_GRANT, &other, body, signature), MN_BAD_SIGNATURE);
    ck_assert_int_eq(sign_check(key.pk, SIGN_GRANT, NULL, body, signature), MN_BAD_SIGNATURE);
    ck_assert_int_eq(sign_check(stranger.pk, SIGN_GRANT, &mesh, body, signature), MN_BAD_SIGNATURE);
    body.size--;
    ck_assert_int_eq(sign_check(key.pk, SIGN_GRANT, &mesh, body, signature), MN_BAD_SIGNATURE);
}
END_TEST

START_TEST(sign_takes_bodies_of_any_size)
{
    static const size_t sizes[] = {0, 1, 2000, 2300, 70000};
    static const uint8_t bytes[70000];
    uint8_t signature[SIGN_SIZE];
    struct sign_key key;

    test_key(&key, 9);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct mn_span body = mn_span(bytes, sizes[i]);
        sign_make(&key, SIGN_CATALOG, NULL, body, signature);
        ck_assert_int_eq(sign_check(key.pk, SIGN_CATALOG, NULL, body, signature), MN_OK);
    }
}
END_TEST

/* S + L instead of S verifies in sloppy implementations, and would give one body two signatures. */
START_TEST(sign_refuses_a_second_form_of_a_signature)
{
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                      0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                      0,    0,    0,    0,    0,    0,    0,    0,
                                      0,    0,    0,    0,    0,    0,    0,    0x10};
    struct mn_span body = mn_span_str("body");
    uint8_t signature[SIGN_SIZE];
    struct sign_key key;
    unsigned carry = 0;

    test_key(&key, 5);
    sign_make(&key, SIGN_RECORD, NULL, body, signature);
    for (unsigned i = 0; i < 32; i++) {
        carry += (unsigned)signature[32 + i] + order[i];
        signature[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    ck_assert_int_eq(sign_check(key.pk, SIGN_RECORD, NULL, body, signature), MN_BAD_SIGNATURE);
}
END_TEST

/* With the neutral point as key, R = S*B verifies any message where small orders are let through.
 */
START_TEST(sign_refuses_keys_of_small_order)
{
    static const uint8_t neutral[32] = {1};
    uint8_t signature[SIGN_SIZE] = {1};

    ck_assert_int_eq(sign_check(neutral, SIGN_RECORD, NULL, mn_span_str("any"), signature),
                     MN_BAD_SIGNATURE);
}
END_TEST

/* ---- identity ---- */

static struct identity test_identity(void)
{
    uint8_t seed[IDENTITY_SEED_SIZE];
    struct identity identity;

    counting(seed, sizeof seed);
    identity_init(&identity, seed);
    return identity;
}

START_TEST(identity_follows_from_the_seed)
{
    struct identity identity = test_identity();
    char text[MN_ID_TEXT_SIZE];

    assert_hex(identity.key.pk, 32,
               "a427e13479155db3dbb7618c48383d61b525e58af8e4d79a73368f6ed6f19935");
    assert_hex(identity.noise_pk, 32,
               "20324e03bd5a184be3703121ee05c84cc74462a36e06785534db43ef6f867973");
    ck_assert_str_eq(mn_id_format(&identity.node_id, text), "f92e3e65-6557-85e7-b635-e39abf6a2fda");
}
END_TEST

START_TEST(identity_binds_the_link_key_to_the_node_key)
{
    struct identity identity = test_identity();
    struct mn_buf *payload = identity_link_payload(&identity);
    uint8_t sign_pk[SIGN_PK_SIZE] = {0}, other[32] = {1};

    ck_assert_int_eq(identity_link_check(mn_buf_span(payload), identity.noise_pk, sign_pk), MN_OK);
    ck_assert_mem_eq(sign_pk, identity.key.pk, sizeof sign_pk);
    ck_assert_int_eq(identity_link_check(mn_buf_span(payload), other, sign_pk), MN_BAD_SIGNATURE);
    mn_buf_unref(payload);
}
END_TEST

static bool link_payload_refused(struct mn_span payload)
{
    struct identity identity = test_identity();
    uint8_t sign_pk[SIGN_PK_SIZE];

    return identity_link_check(payload, identity.noise_pk, sign_pk) != MN_OK;
}

START_TEST(identity_payload_with_any_flipped_bit_is_refused)
{
    struct identity identity = test_identity();
    struct mn_buf *payload = identity_link_payload(&identity);

    assert_each_flipped_bit_refused(mn_buf_span(payload), link_payload_refused);
    mn_buf_unref(payload);
}
END_TEST

START_TEST(identity_leaves_nothing_behind)
{
    static const struct identity nothing;
    struct identity identity = test_identity();

    identity_done(&identity);
    ck_assert_mem_eq(&identity, &nothing, sizeof nothing);
}
END_TEST

/* ---- token ---- */

#define TOKEN_TEXT "mnt1-agvkvkvkvkvkvkvkvkvkvkvkvkvlxo53xo53xo53xo53xo53xo53wgf7t52a"

static struct token test_token(void)
{
    uint8_t pin[DIGEST_PIN_SIZE], secret[TOKEN_SECRET_SIZE];
    struct token token;

    memset(pin, 0xaa, sizeof pin);
    memset(secret, 0xbb, sizeof secret);
    token_init(&token, pin, secret);
    return token;
}

START_TEST(token_has_its_known_string_and_id)
{
    struct token token = test_token();
    char text[TOKEN_TEXT_SIZE], shown[TOKEN_ID_TEXT_SIZE];
    mn_id id = token_id(&token);

    token_encode(&token, text);
    ck_assert_str_eq(text, TOKEN_TEXT);
    ck_assert_uint_eq(strlen(text), 65);
    ck_assert_str_eq(token_id_format(&id, shown), "bd7c3d5c8165b039");
}
END_TEST

START_TEST(token_decodes_to_what_was_encoded)
{
    struct token token = test_token(), back;
    char text[TOKEN_PIN_TEXT_SIZE];

    ck_assert_int_eq(token_decode(mn_span_str(TOKEN_TEXT), &back), MN_OK);
    ck_assert(back.has_secret && token_has_pin(&back));
    ck_assert_mem_eq(back.pin, token.pin, sizeof back.pin);
    ck_assert_mem_eq(back.secret, token.secret, sizeof back.secret);

    token_encode_pin(token.pin, text);
    ck_assert_int_eq(token_decode(mn_span_str(text), &back), MN_OK);
    ck_assert(!back.has_secret && token_has_pin(&back));
    ck_assert_mem_eq(back.pin, token.pin, sizeof back.pin);
}
END_TEST

START_TEST(token_made_before_its_mesh_has_no_pin)
{
    uint8_t secret[TOKEN_SECRET_SIZE] = {1};
    struct token token;

    token_init(&token, NULL, secret);
    ck_assert(!token_has_pin(&token));
}
END_TEST

/* A mistyped character never passes: 32 bits of check, and the prefix is compared. */
START_TEST(token_with_any_other_character_is_refused)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567A1-= ";
    char text[] = TOKEN_TEXT;
    struct token token;

    for (size_t i = 0; i < sizeof text - 1; i++) {
        char right = text[i];
        for (const char *c = alphabet; *c != '\0'; c++) {
            text[i] = *c;
            if (*c != right) ck_assert_int_ne(token_decode(mn_span_str(text), &token), MN_OK);
        }
        text[i] = right;
    }
    ck_assert_int_eq(token_decode(mn_span_str(text), &token), MN_OK);
}
END_TEST

START_TEST(token_says_mistyped_apart_from_malformed)
{
    char text[] = TOKEN_TEXT;
    struct token token;

    text[20] = 'a';
    ck_assert_int_eq(token_decode(mn_span_str(text), &token), MN_BAD_SIGNATURE);
    ck_assert_int_eq(token_decode(mn_span_str("mnt1-abc"), &token), MN_MALFORMED);
    ck_assert_int_eq(token_decode(mn_span_str(""), &token), MN_MALFORMED);
    ck_assert_int_eq(token_decode(mn_span_str(TOKEN_TEXT "a"), &token), MN_MALFORMED);
    ck_assert_int_eq(token_decode(mn_span_str(" " TOKEN_TEXT), &token), MN_MALFORMED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keys");
    TCase *tcase = tcase_create("keys");

    tcase_add_test(tcase, rng_equal_seeds_give_equal_streams_however_drawn);
    tcase_add_test(tcase, rng_is_chacha20_behind_its_new_key);
    tcase_add_test(tcase, rng_does_not_keep_what_it_gave);
    tcase_add_test(tcase, rng_below_stays_below_and_reaches_all);
    tcase_add_test(tcase, rng_children_differ_from_their_parent_and_each_other);
    tcase_add_test(tcase, digest_of_eight_bytes_matches_a_second_implementation);
    tcase_add_test(tcase, digest_variable_parts_cannot_move_into_each_other);
    tcase_add_test(tcase, digest_tags_separate);
    tcase_add_test(tcase, sign_covers_tag_mesh_and_body);
    tcase_add_test(tcase, sign_takes_bodies_of_any_size);
    tcase_add_test(tcase, sign_refuses_a_second_form_of_a_signature);
    tcase_add_test(tcase, sign_refuses_keys_of_small_order);
    tcase_add_test(tcase, identity_follows_from_the_seed);
    tcase_add_test(tcase, identity_binds_the_link_key_to_the_node_key);
    tcase_add_test(tcase, identity_payload_with_any_flipped_bit_is_refused);
    tcase_add_test(tcase, identity_leaves_nothing_behind);
    tcase_add_test(tcase, token_has_its_known_string_and_id);
    tcase_add_test(tcase, token_decodes_to_what_was_encoded);
    tcase_add_test(tcase, token_made_before_its_mesh_has_no_pin);
    tcase_add_test(tcase, token_with_any_other_character_is_refused);
    tcase_add_test(tcase, token_says_mistyped_apart_from_malformed);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
