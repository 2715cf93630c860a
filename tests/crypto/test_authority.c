/* The authority chain: who may sign what, and what a node never takes back. */
#include "crypto/authority.h"
#include "tests/crypto/support.h"

static struct sign_key root, other_root, founder, second, third, stranger;

static void make_key(struct sign_key *key, uint8_t fill)
{
    uint8_t seed[SIGN_SEED_SIZE];

    memset(seed, fill, sizeof seed);
    sign_key_init(key, seed);
}

static void setup(void)
{
    make_key(&root, 1);
    make_key(&other_root, 2);
    make_key(&founder, 3);
    make_key(&second, 4);
    make_key(&third, 5);
    make_key(&stranger, 6);
}

static struct mn_buf *genesis_bytes(void)
{
    return authority_genesis_make(&(struct authority_genesis){
        .root = &root,
        .founder = founder.pk,
        .grant_ttl_ms = AUTHORITY_TTL_DEFAULT_MS,
        .created_ms = 1000,
    });
}

static struct authority decode(struct mn_buf *document)
{
    struct authority authority;

    ck_assert_int_eq(authority_decode(mn_buf_span(document), &authority), MN_OK);
    mn_buf_unref(document);
    return authority;
}

static struct authority genesis(void)
{
    return decode(genesis_bytes());
}

/* The plain fields of a successor of [prev], to be changed by the test and then signed. */
static struct authority successor(const struct authority *prev)
{
    struct authority next = *prev;

    next.version++;
    memcpy(next.prev, prev->hash, AUTHORITY_HASH_SIZE);
    next.created_ms++;
    next.document = NULL;
    return next;
}

static void set_issuers(struct authority *authority, uint32_t count, const struct sign_key **keys)
{
    authority->issuers_count = count;
    for (uint32_t i = 0; i < count; i++)
        memcpy(authority->issuers[i], keys[i]->pk, SIGN_PK_SIZE);
}

static struct mn_buf *signed_by(const struct authority *authority, uint32_t count,
                                const struct sign_key *const *keys)
{
    struct mn_buf *body = authority_body(authority);
    struct mn_buf *document = authority_sign(&authority->mesh_id, mn_buf_span(body), keys, count);

    mn_buf_unref(body);
    return document;
}

#define KEYS(...)                                                                             \
    (uint32_t)(sizeof((const struct sign_key *[]){__VA_ARGS__}) / sizeof(struct sign_key *)), \
        (const struct sign_key *[])                                                           \
    {                                                                                         \
        __VA_ARGS__                                                                           \
    }

/* Judges [next], signed by these keys, as the successor of [prev]. */
static mn_status judge(const struct authority *prev, const struct authority *next, uint32_t count,
                       const struct sign_key **keys, bool *by_root)
{
    struct authority decoded = decode(signed_by(next, count, keys));
    mn_status status = authority_next(prev, &decoded, by_root);

    authority_done(&decoded);
    return status;
}

/* Version 2 of a mesh of three issuers. */
static struct authority three_issuers(const struct authority *first)
{
    struct authority next = successor(first);

    set_issuers(&next, KEYS(&founder, &second, &third));
    return decode(signed_by(&next, KEYS(&founder)));
}

/* ---- documents ---- */

START_TEST(genesis_names_founder_and_root_and_is_signed_by_it)
{
    struct authority first = genesis();
    mn_id mesh = digest_mesh_id(root.pk);

    ck_assert_int_eq(authority_check_genesis(&first), MN_OK);
    ck_assert(mn_id_equal(&first.mesh_id, &mesh));
    ck_assert(authority_is_issuer(&first, founder.pk));
    ck_assert(!authority_is_issuer(&first, root.pk));
    ck_assert_uint_eq(first.version, 1);
    ck_assert_uint_eq(first.grant_ttl_ms, AUTHORITY_TTL_DEFAULT_MS);
    authority_done(&first);
}
END_TEST

START_TEST(genesis_of_another_root_is_refused)
{
    struct authority first = genesis(), forged = first;

    memcpy(forged.roots[0], other_root.pk, SIGN_PK_SIZE);
    forged = decode(signed_by(&forged, KEYS(&other_root)));
    ck_assert_int_eq(authority_check_genesis(&forged), MN_WRONG_MESH);
    authority_done(&forged);
    forged = decode(signed_by(&first, KEYS(&founder)));
    ck_assert_int_eq(authority_check_genesis(&forged), MN_BAD_SIGNATURE);
    authority_done(&forged);
    authority_done(&first);
}
END_TEST

START_TEST(document_decodes_to_what_was_encoded)
{
    struct authority first = genesis(), next = successor(&first), back;

    set_issuers(&next, KEYS(&second, &third, &stranger));
    next.retired_count = 1;
    memcpy(next.retired[0].key, founder.pk, SIGN_PK_SIZE);
    next.retired[0].until_ms = 77;
    back = decode(signed_by(&next, KEYS(&founder, &root)));
    ck_assert_uint_eq(back.version, 2);
    ck_assert_mem_eq(back.prev, first.hash, AUTHORITY_HASH_SIZE);
    ck_assert_uint_eq(back.issuers_count, 3);
    ck_assert_mem_eq(back.issuers, next.issuers, 3 * SIGN_PK_SIZE);
    ck_assert_uint_eq(back.retired_count, 1);
    ck_assert_uint_eq(back.retired[0].until_ms, 77);
    ck_assert_uint_eq(back.signatures_count, 2);
    ck_assert_uint_eq(back.created_ms, first.created_ms + 1);
    ck_assert(authority_counts(&back, founder.pk, 76) && !authority_counts(&back, founder.pk, 77));
    authority_done(&back);
    authority_done(&first);
}
END_TEST

static mn_status decode_status(const struct authority *authority)
{
    struct mn_buf *document = signed_by(authority, KEYS(&root));
    struct authority back;
    mn_status status = authority_decode(mn_buf_span(document), &back);

    if (status == MN_OK) authority_done(&back);
    mn_buf_unref(document);
    return status;
}

START_TEST(document_of_bad_form_is_refused)
{
    struct authority first = genesis(), bad;

    ck_assert_int_eq(decode_status(&first), MN_OK);
    bad = first;
    set_issuers(&bad, KEYS(&founder, &second));
    ck_assert_int_eq(decode_status(&bad), MN_MALFORMED); /* even */
    bad.issuers_count = 0;
    ck_assert_int_eq(decode_status(&bad), MN_MALFORMED);
    set_issuers(&bad, KEYS(&founder, &second, &founder));
    ck_assert_int_eq(decode_status(&bad), MN_MALFORMED); /* one key twice */
    bad = first;
    bad.roots_count = 0;
    ck_assert_int_eq(decode_status(&bad), MN_MALFORMED);
    bad = first;
    bad.version = 2; /* prev is then a hash of zeros: formally fine */
    ck_assert_int_eq(decode_status(&bad), MN_OK);
    bad.version = 0;
    ck_assert_int_eq(decode_status(&bad), MN_MALFORMED);
    bad = first;
    bad.grant_ttl_ms = AUTHORITY_TTL_MIN_MS - 1;
    ck_assert_int_eq(decode_status(&bad), MN_MALFORMED);
    bad.grant_ttl_ms = AUTHORITY_TTL_MAX_MS + 1;
    ck_assert_int_eq(decode_status(&bad), MN_MALFORMED);
    bad = first;
    bad.retired_count = 1; /* retired and issuer at once */
    memcpy(bad.retired[0].key, founder.pk, SIGN_PK_SIZE);
    ck_assert_int_eq(decode_status(&bad), MN_MALFORMED);
    authority_done(&first);
}
END_TEST

START_TEST(document_signed_twice_by_one_key_is_refused)
{
    struct authority first = genesis(), next = successor(&first), back;
    struct mn_buf *document = signed_by(&next, KEYS(&founder, &founder));

    ck_assert_int_eq(authority_decode(mn_buf_span(document), &back), MN_MALFORMED);
    mn_buf_unref(document);
    authority_done(&first);
}
END_TEST

START_TEST(document_over_its_size_is_refused)
{
    static const uint8_t zeros[AUTHORITY_SIZE_MAX + 1];
    struct authority back;

    ck_assert_int_eq(authority_decode(mn_span(zeros, sizeof zeros), &back), MN_TOO_BIG);
    ck_assert_int_eq(authority_decode(mn_span(NULL, 0), &back), MN_MALFORMED);
}
END_TEST

static bool genesis_refused(struct mn_span document)
{
    struct authority back;
    mn_status status = authority_decode(document, &back);

    if (status != MN_OK) return true;
    status = authority_check_genesis(&back);
    authority_done(&back);
    return status != MN_OK;
}

START_TEST(genesis_with_any_flipped_bit_is_refused)
{
    struct mn_buf *document = genesis_bytes();

    ck_assert(!genesis_refused(mn_buf_span(document)));
    assert_each_flipped_bit_refused(mn_buf_span(document), genesis_refused);
    mn_buf_unref(document);
}
END_TEST

static bool second_refused(struct mn_span document)
{
    struct authority first = genesis(), back;
    mn_status status = authority_decode(document, &back);

    if (status == MN_OK) {
        status = authority_next(&first, &back, NULL);
        authority_done(&back);
    }
    authority_done(&first);
    return status != MN_OK;
}

START_TEST(successor_with_any_flipped_bit_is_refused)
{
    struct authority first = genesis(), next = successor(&first);
    struct mn_buf *document;

    set_issuers(&next, KEYS(&founder, &second, &third));
    document = signed_by(&next, KEYS(&founder, &root));
    ck_assert(!second_refused(mn_buf_span(document)));
    assert_each_flipped_bit_refused(mn_buf_span(document), second_refused);
    mn_buf_unref(document);
    authority_done(&first);
}
END_TEST

/* ---- authority_next ---- */

START_TEST(next_wants_the_exact_predecessor)
{
    struct authority first = genesis(), next = successor(&first);

    ck_assert_int_eq(judge(&first, &next, KEYS(&founder), NULL), MN_OK);
    next.version = 3; /* skipped */
    ck_assert_int_eq(judge(&first, &next, KEYS(&founder), NULL), MN_STATE);
    next.version = 2;
    next.prev[0] ^= 1;
    ck_assert_int_eq(judge(&first, &next, KEYS(&founder), NULL), MN_STATE);
    next = successor(&first);
    next.mesh_id.bytes[0] ^= 1;
    ck_assert_int_eq(judge(&first, &next, KEYS(&founder), NULL), MN_WRONG_MESH);
    next = successor(&first);
    next.dev = true;
    ck_assert_int_eq(judge(&first, &next, KEYS(&founder), NULL), MN_DENIED);
    authority_done(&first);
}
END_TEST

START_TEST(next_wants_a_strict_majority_of_distinct_issuers)
{
    struct authority first = genesis(), prev = three_issuers(&first), next = successor(&prev);
    bool by_root = true;

    ck_assert_int_eq(judge(&prev, &next, KEYS(&founder), NULL), MN_DENIED);
    ck_assert_int_eq(judge(&prev, &next, KEYS(&founder, &third), &by_root), MN_OK);
    ck_assert(!by_root);
    ck_assert_int_eq(judge(&prev, &next, KEYS(&founder, &stranger), NULL), MN_DENIED);
    ck_assert_int_eq(judge(&prev, &next, KEYS(&stranger), NULL), MN_DENIED);
    authority_done(&prev);
    authority_done(&first);
}
END_TEST

START_TEST(next_wants_three_of_five)
{
    struct authority first = genesis(), next = successor(&first), prev;

    set_issuers(&next, KEYS(&founder, &second, &third, &stranger, &other_root));
    prev = decode(signed_by(&next, KEYS(&founder)));
    next = successor(&prev);
    ck_assert_int_eq(judge(&prev, &next, KEYS(&third, &second), NULL), MN_DENIED);
    ck_assert_int_eq(judge(&prev, &next, KEYS(&third, &second, &other_root), NULL), MN_OK);
    authority_done(&prev);
    authority_done(&first);
}
END_TEST

START_TEST(next_may_be_signed_by_a_root_alone)
{
    struct authority first = genesis(), prev = three_issuers(&first), next = successor(&prev);
    bool by_root = false;

    ck_assert_int_eq(judge(&prev, &next, KEYS(&root), &by_root), MN_OK);
    ck_assert(by_root);
    ck_assert_int_eq(judge(&prev, &next, KEYS(&other_root), NULL), MN_DENIED);
    authority_done(&prev);
    authority_done(&first);
}
END_TEST

START_TEST(next_with_other_roots_needs_the_root)
{
    struct authority first = genesis(), next = successor(&first);

    next.roots_count = 2;
    memcpy(next.roots[1], other_root.pk, SIGN_PK_SIZE);
    ck_assert_int_eq(judge(&first, &next, KEYS(&founder), NULL), MN_DENIED);
    ck_assert_int_eq(judge(&first, &next, KEYS(&root), NULL), MN_OK);
    /* The new root's own signature does not count: it is no root of the predecessor. */
    ck_assert_int_eq(judge(&first, &next, KEYS(&other_root), NULL), MN_DENIED);
    authority_done(&first);
}
END_TEST

START_TEST(next_by_issuers_that_it_names_itself_is_refused)
{
    struct authority first = genesis(), next = successor(&first);

    set_issuers(&next, KEYS(&stranger));
    ck_assert_int_eq(judge(&first, &next, KEYS(&stranger), NULL), MN_DENIED);
    authority_done(&first);
}
END_TEST

/* ---- the chain ---- */

static mn_status add(struct authority_chain *chain, struct mn_buf *document)
{
    mn_status status = authority_chain_add(chain, mn_buf_span(document));

    mn_buf_unref(document);
    return status;
}

static void start(struct authority_chain *chain)
{
    struct mn_buf *document = genesis_bytes();

    authority_chain_init(chain);
    ck_assert_int_eq(authority_chain_start(chain, mn_buf_span(document)), MN_OK);
    mn_buf_unref(document);
}

/* A successor of the chain's head, distinguished by its creation time. */
static struct authority head_successor(const struct authority_chain *chain, uint64_t created_ms)
{
    struct authority next = successor(authority_chain_head(chain));

    next.created_ms = created_ms;
    return next;
}

START_TEST(chain_grows_and_finds_by_pin)
{
    struct authority_chain chain;
    struct authority next;

    start(&chain);
    next = head_successor(&chain, 1);
    ck_assert_int_eq(add(&chain, signed_by(&next, KEYS(&founder))), MN_OK);
    ck_assert_int_eq(add(&chain, signed_by(&next, KEYS(&founder))), MN_OK); /* again: harmless */
    next = head_successor(&chain, 2);
    ck_assert_int_eq(add(&chain, signed_by(&next, KEYS(&root))), MN_OK);
    ck_assert_uint_eq(chain.count, 3);
    ck_assert_uint_eq(authority_chain_head(&chain)->version, 3);
    for (uint32_t i = 0; i < chain.count; i++)
        ck_assert_ptr_eq(authority_chain_find(&chain, authority_pin(chain.items[i])),
                         chain.items[i]);
    ck_assert_ptr_null(authority_chain_find(&chain, stranger.pk));
    authority_chain_done(&chain);
}
END_TEST

START_TEST(chain_never_swaps_for_a_sibling_of_the_issuers)
{
    struct authority_chain chain;
    struct authority one, two;

    start(&chain);
    one = head_successor(&chain, 1);
    two = head_successor(&chain, 2);
    ck_assert_int_eq(add(&chain, signed_by(&one, KEYS(&founder))), MN_OK);
    ck_assert_int_eq(add(&chain, signed_by(&two, KEYS(&founder))), MN_EXISTS);
    ck_assert_uint_eq(authority_chain_head(&chain)->created_ms, 1);
    authority_chain_done(&chain);
}
END_TEST

START_TEST(chain_yields_to_a_root_signed_sibling_with_all_that_follows)
{
    struct authority_chain chain;
    struct authority good, bad, follower;

    start(&chain);
    good = head_successor(&chain, 1);
    bad = head_successor(&chain, 2);
    set_issuers(&bad, KEYS(&stranger));
    ck_assert_int_eq(add(&chain, signed_by(&bad, KEYS(&founder))), MN_OK);
    follower = head_successor(&chain, 3);
    ck_assert_int_eq(add(&chain, signed_by(&follower, KEYS(&stranger))), MN_OK);
    ck_assert_int_eq(add(&chain, signed_by(&good, KEYS(&root))), MN_OK);
    ck_assert_uint_eq(chain.count, 2);
    ck_assert_uint_eq(authority_chain_head(&chain)->created_ms, 1);
    /* The displaced documents do not come back. */
    ck_assert_int_eq(add(&chain, signed_by(&bad, KEYS(&founder))), MN_EXISTS);
    ck_assert_int_eq(add(&chain, signed_by(&follower, KEYS(&stranger))), MN_STATE);
    authority_chain_done(&chain);
}
END_TEST

START_TEST(chain_keeps_what_a_root_signed_even_against_a_root)
{
    struct authority_chain chain;
    struct authority one, two, early;

    start(&chain);
    early = head_successor(&chain, 9);
    one = head_successor(&chain, 1);
    ck_assert_int_eq(add(&chain, signed_by(&one, KEYS(&founder))), MN_OK);
    two = head_successor(&chain, 2);
    ck_assert_int_eq(add(&chain, signed_by(&two, KEYS(&root))), MN_OK);
    /* An older sibling, root-signed, would throw away the root-signed head: only counted. */
    ck_assert_int_eq(add(&chain, signed_by(&early, KEYS(&root))), MN_STATE);
    ck_assert_uint_eq(chain.forks_count, 1);
    ck_assert_uint_eq(chain.count, 3);
    authority_chain_done(&chain);
}
END_TEST

START_TEST(chain_takes_no_document_that_does_not_connect)
{
    struct authority_chain chain;
    struct authority next;

    start(&chain);
    next = head_successor(&chain, 1);
    next.version = 3;
    ck_assert_int_eq(add(&chain, signed_by(&next, KEYS(&founder))), MN_STATE);
    next.version = 2;
    next.prev[3] ^= 1;
    ck_assert_int_eq(add(&chain, signed_by(&next, KEYS(&founder))), MN_STATE);
    ck_assert_uint_eq(chain.count, 1);
    authority_chain_done(&chain);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("authority");
    TCase *tcase = tcase_create("authority");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, genesis_names_founder_and_root_and_is_signed_by_it);
    tcase_add_test(tcase, genesis_of_another_root_is_refused);
    tcase_add_test(tcase, document_decodes_to_what_was_encoded);
    tcase_add_test(tcase, document_of_bad_form_is_refused);
    tcase_add_test(tcase, document_signed_twice_by_one_key_is_refused);
    tcase_add_test(tcase, document_over_its_size_is_refused);
    tcase_add_test(tcase, genesis_with_any_flipped_bit_is_refused);
    tcase_add_test(tcase, successor_with_any_flipped_bit_is_refused);
    tcase_add_test(tcase, next_wants_the_exact_predecessor);
    tcase_add_test(tcase, next_wants_a_strict_majority_of_distinct_issuers);
    tcase_add_test(tcase, next_wants_three_of_five);
    tcase_add_test(tcase, next_may_be_signed_by_a_root_alone);
    tcase_add_test(tcase, next_with_other_roots_needs_the_root);
    tcase_add_test(tcase, next_by_issuers_that_it_names_itself_is_refused);
    tcase_add_test(tcase, chain_grows_and_finds_by_pin);
    tcase_add_test(tcase, chain_never_swaps_for_a_sibling_of_the_issuers);
    tcase_add_test(tcase, chain_yields_to_a_root_signed_sibling_with_all_that_follows);
    tcase_add_test(tcase, chain_keeps_what_a_root_signed_even_against_a_root);
    tcase_add_test(tcase, chain_takes_no_document_that_does_not_connect);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
