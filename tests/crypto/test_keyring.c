/* Mesh keys: their announcements, which one seals, which open, and what a revocation closes. */
#include "crypto/keyring.h"
#include "crypto/recovery.h"
#include "crypto/revocation.h"
#include "tests/crypto/support.h"

#define SECOND_MS ((uint64_t)1000)
#define HOUR_MS (3600 * SECOND_MS)
#define DAY_MS (24 * HOUR_MS)
#define NOW_MS (20000 * DAY_MS)

static struct sign_key root, founder, stranger;
static struct authority authority;
static struct keyring ring;
static struct mn_arena arena;

static void make_key(struct sign_key *key, uint8_t fill)
{
    uint8_t seed[SIGN_SEED_SIZE];

    memset(seed, fill, sizeof seed);
    sign_key_init(key, seed);
}

static void setup(void)
{
    struct mn_buf *document;

    make_key(&root, 1);
    make_key(&founder, 3);
    make_key(&stranger, 6);
    document = authority_genesis_make(&(struct authority_genesis){
        .root = &root, .founder = founder.pk, .grant_ttl_ms = AUTHORITY_TTL_DEFAULT_MS});
    ck_assert_int_eq(authority_decode(mn_buf_span(document), &authority), MN_OK);
    mn_buf_unref(document);
    keyring_init(&ring, &authority.mesh_id);
}

static void teardown(void)
{
    keyring_check(&ring);
    authority_done(&authority);
    mn_arena_done(&arena);
    arena = (struct mn_arena){0};
}

static void make_secret(uint32_t key_id, uint8_t secret[MESHKEY_SECRET_SIZE])
{
    memset(secret, 0xa0, MESHKEY_SECRET_SIZE);
    mn_store_u32(secret, key_id);
}

static struct meshkey plain_meshkey(uint32_t key_id, uint64_t created_ms)
{
    struct meshkey meshkey = {.key_id = key_id,
                              .kind = MESHKEY_SEAL,
                              .created_ms = created_ms,
                              .seal_until_ms = created_ms + MESHKEY_SEAL_MS,
                              .open_until_ms = created_ms + MESHKEY_OPEN_MS};
    uint8_t secret[MESHKEY_SECRET_SIZE];

    make_secret(key_id, secret);
    meshkey_commit(&authority.mesh_id, secret, meshkey.commit);
    return meshkey;
}

static mn_status put(uint32_t key_id)
{
    uint8_t secret[MESHKEY_SECRET_SIZE];

    make_secret(key_id, secret);
    return keyring_put(&ring, key_id, secret);
}

static void add(struct meshkey meshkey)
{
    ck_assert_int_eq(keyring_announce(&ring, &meshkey, meshkey.created_ms), MN_OK);
    ck_assert_int_eq(put(meshkey.key_id), MN_OK);
}

/* ---- announcements ---- */

static bool announcement_is_refused(struct mn_span flipped)
{
    struct meshkey meshkey;

    return meshkey_decode(flipped, &meshkey) != MN_OK ||
           meshkey_check(&meshkey, &authority) != MN_OK;
}

START_TEST(announcement_has_no_free_bit)
{
    struct meshkey meshkey = plain_meshkey(7, NOW_MS), decoded;
    struct mn_buf *bytes;

    meshkey.is_after_revocation = true;
    memset(meshkey.after_revocation, 5, sizeof meshkey.after_revocation);
    bytes = meshkey_sign(&meshkey, &authority.mesh_id, &founder);
    ck_assert_int_eq(meshkey_decode(mn_buf_span(bytes), &decoded), MN_OK);
    ck_assert_int_eq(meshkey_check(&decoded, &authority), MN_OK);
    ck_assert_uint_eq(decoded.key_id, 7);
    ck_assert(decoded.is_after_revocation);
    ck_assert_mem_eq(decoded.commit, meshkey.commit, sizeof meshkey.commit);
    assert_each_flipped_bit_refused(mn_buf_span(bytes), announcement_is_refused);
    mn_buf_unref(bytes);
}
END_TEST

START_TEST(announcement_of_a_plain_member_is_refused)
{
    struct meshkey meshkey = plain_meshkey(7, NOW_MS), decoded;
    struct mn_buf *bytes = meshkey_sign(&meshkey, &authority.mesh_id, &stranger);

    ck_assert_int_eq(meshkey_decode(mn_buf_span(bytes), &decoded), MN_OK);
    ck_assert_int_eq(meshkey_check(&decoded, &authority), MN_UNKNOWN_ISSUER);
    mn_buf_unref(bytes);
}
END_TEST

START_TEST(announcement_lives_no_longer_than_it_may)
{
    struct meshkey keys[3] = {plain_meshkey(1, NOW_MS), plain_meshkey(2, NOW_MS),
                              plain_meshkey(3, NOW_MS)};
    struct meshkey decoded;

    keys[0].seal_until_ms++;
    keys[1].open_until_ms++;
    keys[2].kind = MESHKEY_RECON; /* has no end */
    for (int i = 0; i < 3; i++) {
        struct mn_buf *bytes = meshkey_sign(&keys[i], &authority.mesh_id, &founder);
        ck_assert_int_eq(meshkey_decode(mn_buf_span(bytes), &decoded), MN_MALFORMED);
        mn_buf_unref(bytes);
    }
}
END_TEST

/* ---- the ring ---- */

START_TEST(only_the_committed_bytes_are_taken)
{
    struct meshkey meshkey = plain_meshkey(1, NOW_MS);
    uint8_t secret[MESHKEY_SECRET_SIZE];

    ck_assert_int_eq(put(1), MN_NOT_FOUND);
    ck_assert_int_eq(keyring_announce(&ring, &meshkey, NOW_MS), MN_OK);
    ck_assert_int_eq(keyring_announce(&ring, &meshkey, NOW_MS), MN_EXISTS);
    make_secret(2, secret);
    ck_assert_int_eq(keyring_put(&ring, 1, secret), MN_CRYPTO);
    ck_assert_ptr_null(keyring_sealing(&ring, NOW_MS));
    ck_assert_int_eq(put(1), MN_OK);
    ck_assert_int_eq(put(1), MN_EXISTS);
    ck_assert_uint_eq(keyring_sealing(&ring, NOW_MS)->announced.key_id, 1);
}
END_TEST

START_TEST(a_new_key_seals_once_it_has_settled)
{
    add(plain_meshkey(1, NOW_MS));
    ck_assert_uint_eq(keyring_sealing(&ring, NOW_MS)->announced.key_id, 1); /* the only one */
    add(plain_meshkey(2, NOW_MS + DAY_MS));
    ck_assert_uint_eq(keyring_sealing(&ring, NOW_MS + DAY_MS)->announced.key_id, 1);
    ck_assert_uint_eq(
        keyring_sealing(&ring, NOW_MS + DAY_MS + 30 * SECOND_MS - 1)->announced.key_id, 1);
    ck_assert_uint_eq(keyring_sealing(&ring, NOW_MS + DAY_MS + 30 * SECOND_MS)->announced.key_id,
                      2);
    ck_assert_uint_eq(keyring_opening(&ring, 1, NOW_MS + DAY_MS)->announced.key_id, 1);
    ck_assert_uint_eq(keyring_opening(&ring, 2, NOW_MS + DAY_MS)->announced.key_id, 2);
}
END_TEST

START_TEST(keys_end_and_a_clock_that_jumps_back_finds_them_again)
{
    add(plain_meshkey(1, NOW_MS));
    ck_assert_ptr_nonnull(keyring_sealing(&ring, NOW_MS + 2 * DAY_MS - 1));
    ck_assert_ptr_null(keyring_sealing(&ring, NOW_MS + 2 * DAY_MS));
    ck_assert_ptr_nonnull(keyring_opening(&ring, 1, NOW_MS + 9 * DAY_MS - 1));
    ck_assert_ptr_null(keyring_opening(&ring, 1, NOW_MS + 9 * DAY_MS));
    keyring_expire(&ring, NOW_MS + 9 * DAY_MS);
    ck_assert_ptr_nonnull(keyring_opening(&ring, 1, NOW_MS));
    keyring_expire(&ring, NOW_MS + 10 * DAY_MS);
    ck_assert_ptr_null(keyring_find(&ring, 1));
}
END_TEST

START_TEST(a_revocation_closes_what_is_older)
{
    struct meshkey after = plain_meshkey(3, NOW_MS + HOUR_MS);

    add(plain_meshkey(1, NOW_MS));
    add(plain_meshkey(2, NOW_MS + HOUR_MS - 1));
    after.is_after_revocation = true;
    ck_assert_int_eq(keyring_announce(&ring, &after, NOW_MS + HOUR_MS), MN_OK);
    /* At once, also while the new key's bytes are still on their way. */
    ck_assert_ptr_null(keyring_sealing(&ring, NOW_MS + HOUR_MS));
    ck_assert_ptr_null(keyring_opening(&ring, 1, NOW_MS + HOUR_MS));
    ck_assert_ptr_null(keyring_opening(&ring, 2, NOW_MS + HOUR_MS));
    ck_assert_int_eq(put(3), MN_OK);
    ck_assert_uint_eq(keyring_sealing(&ring, NOW_MS + HOUR_MS)->announced.key_id, 3);
    /* What came later is open, and an old announcement that arrives late is closed. */
    add(plain_meshkey(4, NOW_MS + 2 * HOUR_MS));
    add(plain_meshkey(5, NOW_MS + 1));
    ck_assert_ptr_nonnull(keyring_opening(&ring, 4, NOW_MS + 2 * HOUR_MS));
    ck_assert_ptr_null(keyring_opening(&ring, 5, NOW_MS + 2 * HOUR_MS));
}
END_TEST

START_TEST(recon_keys_stay)
{
    struct meshkey recon = plain_meshkey(1, NOW_MS), after = plain_meshkey(2, NOW_MS + 1);

    recon.kind = MESHKEY_RECON;
    recon.seal_until_ms = recon.open_until_ms = 0;
    after.is_after_revocation = true;
    add(recon);
    add(after);
    for (uint32_t i = 0; i < 2 * KEYRING_KEYS_MAX; i++)
        add(plain_meshkey(100 + i, NOW_MS + 10 + i));
    ck_assert_uint_eq(ring.count, KEYRING_KEYS_MAX);
    keyring_expire(&ring, NOW_MS + 400 * DAY_MS);
    ck_assert_uint_eq(ring.count, 1);
    ck_assert_uint_eq(keyring_recon(&ring)->announced.key_id, 1);
    ck_assert_ptr_null(keyring_opening(&ring, 1, NOW_MS)); /* and seals nothing for clients */
}
END_TEST

START_TEST(order_of_arrival_does_not_matter)
{
    struct keyring other;

    for (uint32_t i = 0; i < 100; i++)
        add(plain_meshkey(i, NOW_MS + i * SECOND_MS));
    keyring_init(&other, &authority.mesh_id);
    for (uint32_t i = 100; i-- > 0;) {
        struct meshkey meshkey = plain_meshkey(i, NOW_MS + i * SECOND_MS);
        mn_status status = keyring_announce(&other, &meshkey, NOW_MS);
        ck_assert_int_eq(status, i < 100 - KEYRING_KEYS_MAX ? MN_FULL : MN_OK);
    }
    ck_assert_uint_eq(other.count, ring.count);
    for (uint32_t i = 0; i < ring.count; i++)
        ck_assert_uint_eq(other.keys[i].announced.key_id, ring.keys[i].announced.key_id);
}
END_TEST

/* ---- sealing with it ---- */

START_TEST(seals_and_opens)
{
    struct sealed_scope scope = {.what = SEALED_CURSOR, .mesh_id = ring.mesh_id};
    struct mn_span text, plain;
    struct meshkey after = plain_meshkey(2, NOW_MS + HOUR_MS);
    struct keyring other;
    uint32_t missing = 0;

    ck_assert_int_eq(keyring_seal(&ring, NOW_MS, &scope, 0, mn_span_str("x"), &arena, &text),
                     MN_STATE);
    add(plain_meshkey(1, NOW_MS));
    ck_assert_int_eq(keyring_seal(&ring, NOW_MS, &scope, 0, mn_span_str("x"), &arena, &text),
                     MN_OK);
    ck_assert_int_eq(keyring_open(&ring, NOW_MS, text, &scope, &arena, &plain, &missing), MN_OK);
    ck_assert(mn_span_is(plain, "x"));
    ck_assert_int_eq(
        keyring_open(&ring, NOW_MS + MESHKEY_OPEN_MS, text, &scope, &arena, &plain, &missing),
        MN_EXPIRED);

    keyring_init(&other, &authority.mesh_id);
    ck_assert_int_eq(keyring_open(&other, NOW_MS, text, &scope, &arena, &plain, &missing),
                     MN_NOT_FOUND);
    ck_assert_uint_eq(missing, 1);

    after.is_after_revocation = true;
    add(after);
    ck_assert_int_eq(keyring_open(&ring, NOW_MS + HOUR_MS, text, &scope, &arena, &plain, &missing),
                     MN_REVOKED);
}
END_TEST

START_TEST(a_string_does_not_outlive_its_key)
{
    struct sealed_scope scope = {.what = SEALED_TASK, .mesh_id = ring.mesh_id};
    struct sealed_header header;
    struct mn_span text;

    add(plain_meshkey(1, NOW_MS));
    ck_assert_int_eq(
        keyring_seal(&ring, NOW_MS, &scope, NOW_MS + 100 * DAY_MS, mn_span_str("x"), &arena, &text),
        MN_OK);
    ck_assert_int_eq(sealed_peek(text, SEALED_TASK, &header), MN_OK);
    ck_assert_uint_eq(header.expires_s, (NOW_MS + MESHKEY_OPEN_MS) / 1000);
    ck_assert_int_eq(
        keyring_seal(&ring, NOW_MS, &scope, NOW_MS + HOUR_MS, mn_span_str("x"), &arena, &text),
        MN_OK);
    ck_assert_int_eq(sealed_peek(text, SEALED_TASK, &header), MN_OK);
    ck_assert_uint_eq(header.expires_s, (NOW_MS + HOUR_MS) / 1000);
}
END_TEST

/* ---- revocations ---- */

static bool revocation_is_refused(struct mn_span flipped)
{
    struct revocation revocation;

    return revocation_decode(flipped, &revocation) != MN_OK ||
           revocation_check(&revocation, &authority) != MN_OK;
}

START_TEST(revocation_has_no_free_bit)
{
    struct revocation revocation = {
        .node_id = digest_node_id(stranger.pk), .at_ms = NOW_MS, .reason = "stolen laptop"};
    struct revocation decoded;
    struct mn_buf *bytes = revocation_sign(&revocation, &authority.mesh_id, &founder);

    ck_assert_int_eq(revocation_decode(mn_buf_span(bytes), &decoded), MN_OK);
    ck_assert_int_eq(revocation_check(&decoded, &authority), MN_OK);
    ck_assert_str_eq(decoded.reason, "stolen laptop");
    ck_assert(mn_id_equal(&decoded.node_id, &revocation.node_id));
    assert_each_flipped_bit_refused(mn_buf_span(bytes), revocation_is_refused);
    mn_buf_unref(bytes);
}
END_TEST

START_TEST(an_issuer_cannot_be_revoked_and_nobody_else_revokes)
{
    struct revocation revocation = {.node_id = digest_node_id(founder.pk), .at_ms = NOW_MS};
    struct revocation decoded;
    struct mn_buf *bytes = revocation_sign(&revocation, &authority.mesh_id, &founder);

    ck_assert_int_eq(revocation_decode(mn_buf_span(bytes), &decoded), MN_OK);
    ck_assert_int_eq(revocation_check(&decoded, &authority), MN_DENIED);
    mn_buf_unref(bytes);
    revocation.node_id = digest_node_id(stranger.pk);
    bytes = revocation_sign(&revocation, &authority.mesh_id, &stranger);
    ck_assert_int_eq(revocation_decode(mn_buf_span(bytes), &decoded), MN_OK);
    ck_assert_int_eq(revocation_check(&decoded, &authority), MN_UNKNOWN_ISSUER);
    mn_buf_unref(bytes);
}
END_TEST

/* ---- orders to begin a consensus group anew ---- */

static bool recovery_is_refused(struct mn_span flipped)
{
    struct recovery recovery;

    return recovery_decode(flipped, &recovery) != MN_OK ||
           recovery_check(&recovery, &authority) != MN_OK;
}

START_TEST(an_order_of_recovery_has_no_free_bit_and_comes_from_an_issuer)
{
    struct recovery recovery = {.epoch = 2,
                                .node = digest_node_id(stranger.pk),
                                .last_index = 1000,
                                .last_term = 7,
                                .lost = {digest_node_id(founder.pk), digest_node_id(root.pk)},
                                .lost_count = 2,
                                .at_ms = NOW_MS};
    struct recovery decoded;
    struct mn_buf *bytes = recovery_sign(&recovery, &authority.mesh_id, &founder);

    ck_assert_int_eq(recovery_decode(mn_buf_span(bytes), &decoded), MN_OK);
    ck_assert_int_eq(recovery_check(&decoded, &authority), MN_OK);
    ck_assert(decoded.epoch == 2 && decoded.last_index == 1000 && decoded.last_term == 7);
    ck_assert_uint_eq(decoded.lost_count, 2);
    ck_assert(mn_id_equal(&decoded.lost[1], &recovery.lost[1]));
    assert_each_flipped_bit_refused(mn_buf_span(bytes), recovery_is_refused);
    mn_buf_unref(bytes);
    bytes = recovery_sign(&recovery, &authority.mesh_id, &stranger);
    ck_assert_int_eq(recovery_decode(mn_buf_span(bytes), &decoded), MN_OK);
    ck_assert_int_eq(recovery_check(&decoded, &authority), MN_UNKNOWN_ISSUER);
    mn_buf_unref(bytes);
    bytes = recovery_sign(&recovery, &(mn_id){{1}}, &founder); /* of another mesh */
    ck_assert(recovery_is_refused(mn_buf_span(bytes)));
    mn_buf_unref(bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keyring");
    TCase *tcase = tcase_create("keyring");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, announcement_has_no_free_bit);
    tcase_add_test(tcase, announcement_of_a_plain_member_is_refused);
    tcase_add_test(tcase, announcement_lives_no_longer_than_it_may);
    tcase_add_test(tcase, only_the_committed_bytes_are_taken);
    tcase_add_test(tcase, a_new_key_seals_once_it_has_settled);
    tcase_add_test(tcase, keys_end_and_a_clock_that_jumps_back_finds_them_again);
    tcase_add_test(tcase, a_revocation_closes_what_is_older);
    tcase_add_test(tcase, recon_keys_stay);
    tcase_add_test(tcase, order_of_arrival_does_not_matter);
    tcase_add_test(tcase, seals_and_opens);
    tcase_add_test(tcase, a_string_does_not_outlive_its_key);
    tcase_add_test(tcase, revocation_has_no_free_bit);
    tcase_add_test(tcase, an_issuer_cannot_be_revoked_and_nobody_else_revokes);
    tcase_add_test(tcase, an_order_of_recovery_has_no_free_bit_and_comes_from_an_issuer);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
