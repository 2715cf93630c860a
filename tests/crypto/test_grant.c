/* Grants, invites and the JOIN message: each reason to refuse, and no free bit. */
#include "crypto/grant.h"
#include "crypto/identity.h"
#include "crypto/invite.h"
#include "tests/crypto/support.h"

#define DAY_MS ((uint64_t)86400 * 1000)
#define NOW_MS (100 * DAY_MS)

static struct sign_key root, founder, stranger;
static struct identity node;
static struct authority authority;
static struct token token;
static struct sign_key token_sign;

static void make_key(struct sign_key *key, uint8_t fill)
{
    uint8_t seed[SIGN_SEED_SIZE];

    memset(seed, fill, sizeof seed);
    sign_key_init(key, seed);
}

static void setup(void)
{
    uint8_t seed[32] = {9}, secret[TOKEN_SECRET_SIZE] = {4};
    struct mn_buf *document;

    make_key(&root, 1);
    make_key(&founder, 3);
    make_key(&stranger, 6);
    identity_init(&node, seed);
    document = authority_genesis_make(&(struct authority_genesis){
        .root = &root, .founder = founder.pk, .grant_ttl_ms = AUTHORITY_TTL_DEFAULT_MS});
    ck_assert_int_eq(authority_decode(mn_buf_span(document), &authority), MN_OK);
    mn_buf_unref(document);
    token_init(&token, authority_pin(&authority), secret);
    token_key(&token, &token_sign);
}

static void teardown(void)
{
    authority_done(&authority);
}

/* ---- grants ---- */

static struct grant plain_grant(void)
{
    struct grant grant = {.mesh_id = authority.mesh_id,
                          .serial = {{1, 2, 3}},
                          .name = "n1",
                          .region = "eu-central",
                          .role_max = MESHNODE__TRUST__ROLE__ROLE_VOTER,
                          .issuer_eligible = true,
                          .not_before_ms = NOW_MS - GRANT_TOLERANCE_MS,
                          .not_after_ms = NOW_MS + 30 * DAY_MS,
                          .authority_version = 1,
                          .via = MESHNODE__TRUST__VIA__VIA_TOKEN,
                          .token_id = token_id(&token)};

    memcpy(grant.sign_pk, node.key.pk, SIGN_PK_SIZE);
    return grant;
}

/* Signs, decodes, judges. */
static mn_status judge(struct grant *plain, const struct sign_key *issuer, uint64_t wall_ms)
{
    struct mn_buf *bytes = grant_sign(plain, issuer);
    struct grant grant;
    mn_status status = grant_decode(mn_buf_span(bytes), &grant);

    if (status == MN_OK) status = grant_check(&grant, &authority, NULL, wall_ms);
    mn_buf_unref(bytes);
    return status;
}

START_TEST(grant_decodes_to_what_was_signed)
{
    struct grant plain = plain_grant(), back;
    struct mn_buf *bytes = grant_sign(&plain, &founder);

    ck_assert_int_eq(grant_decode(mn_buf_span(bytes), &back), MN_OK);
    ck_assert_str_eq(back.name, "n1");
    ck_assert_str_eq(back.region, "eu-central");
    ck_assert(mn_id_equal(&back.node_id, &node.node_id));
    ck_assert(mn_id_equal(&back.serial, &plain.serial));
    ck_assert(mn_id_equal(&back.token_id, &plain.token_id));
    ck_assert_int_eq(back.role_max, plain.role_max);
    ck_assert_int_eq(back.via, plain.via);
    ck_assert(back.issuer_eligible);
    ck_assert_uint_eq(back.not_before_ms, plain.not_before_ms);
    ck_assert_uint_eq(back.not_after_ms, plain.not_after_ms);
    ck_assert_int_eq(grant_check(&back, &authority, NULL, NOW_MS), MN_OK);
    mn_buf_unref(bytes);
}
END_TEST

START_TEST(grant_of_the_longest_names_fits_its_bound)
{
    struct grant plain = plain_grant();
    struct mn_buf *bytes;

    memset(plain.name, 'n', GRANT_NAME_SIZE - 1);
    memset(plain.region, 'r', GRANT_REGION_SIZE - 1);
    plain.authority_version = 1u << 20;
    bytes = grant_sign(&plain, &founder);
    ck_assert_uint_le(bytes->size, GRANT_SIZE_MAX);
    mn_buf_unref(bytes);
}
END_TEST

START_TEST(grant_is_refused_for_its_own_reason)
{
    struct grant grant = plain_grant();

    grant.mesh_id.bytes[3] ^= 1;
    ck_assert_int_eq(judge(&grant, &founder, NOW_MS), MN_WRONG_MESH);
    grant = plain_grant();
    grant.authority_version = 2;
    ck_assert_int_eq(judge(&grant, &founder, NOW_MS), MN_NOT_FOUND);
    grant = plain_grant();
    ck_assert_int_eq(judge(&grant, &stranger, NOW_MS), MN_UNKNOWN_ISSUER);
    ck_assert_int_eq(judge(&grant, &node.key, NOW_MS), MN_UNKNOWN_ISSUER); /* a plain member */
    ck_assert_int_eq(judge(&grant, &founder, grant.not_before_ms - 1), MN_NOT_YET);
    ck_assert_int_eq(judge(&grant, &founder, grant.not_before_ms), MN_OK);
    ck_assert_int_eq(judge(&grant, &founder, grant.not_after_ms + GRANT_TOLERANCE_MS - 1), MN_OK);
    ck_assert_int_eq(judge(&grant, &founder, grant.not_after_ms + GRANT_TOLERANCE_MS), MN_EXPIRED);
}
END_TEST

START_TEST(grant_form_is_checked)
{
    struct grant grant = plain_grant();

    strcpy(grant.name, "Upper");
    ck_assert_int_eq(judge(&grant, &founder, NOW_MS), MN_MALFORMED);
    strcpy(grant.name, "");
    ck_assert_int_eq(judge(&grant, &founder, NOW_MS), MN_MALFORMED);
    grant = plain_grant();
    strcpy(grant.region, "a b");
    ck_assert_int_eq(judge(&grant, &founder, NOW_MS), MN_MALFORMED);
    grant = plain_grant();
    grant.not_after_ms = grant.not_before_ms;
    ck_assert_int_eq(judge(&grant, &founder, NOW_MS), MN_MALFORMED);
    grant = plain_grant();
    grant.role_max = (grant_role)9;
    ck_assert_int_eq(judge(&grant, &founder, NOW_MS), MN_MALFORMED);
    grant = plain_grant();
    grant.via = MESHNODE__TRUST__VIA__VIA_UNKNOWN;
    ck_assert_int_eq(judge(&grant, &founder, NOW_MS), MN_MALFORMED);
}
END_TEST

START_TEST(grant_of_a_retired_issuer_counts_if_made_before)
{
    struct grant grant = plain_grant();
    struct authority after = authority;

    memcpy(after.issuers[0], stranger.pk, SIGN_PK_SIZE);
    after.retired_count = 1;
    memcpy(after.retired[0].key, founder.pk, SIGN_PK_SIZE);
    after.retired[0].until_ms = NOW_MS + 1;
    authority = after;
    ck_assert_int_eq(judge(&grant, &founder, NOW_MS), MN_OK);
    grant.not_after_ms += DAY_MS; /* longer than it could give at its end: made later, dated back */
    ck_assert_int_eq(judge(&grant, &founder, NOW_MS), MN_UNKNOWN_ISSUER);
    grant.not_after_ms -= DAY_MS;
    authority.retired[0].until_ms = NOW_MS;
    ck_assert_int_eq(judge(&grant, &founder, NOW_MS), MN_UNKNOWN_ISSUER);
}
END_TEST

static bool set_has(const void *set, const mn_id *id)
{
    return mn_id_equal(set, id);
}

START_TEST(grant_of_a_revoked_node_or_token_is_refused)
{
    struct grant plain = plain_grant(), grant;
    struct mn_buf *bytes = grant_sign(&plain, &founder);
    struct grant_revoked revoked = {set_has, set_has, &grant.node_id};

    ck_assert_int_eq(grant_decode(mn_buf_span(bytes), &grant), MN_OK);
    ck_assert_int_eq(grant_check(&grant, &authority, &revoked, NOW_MS), MN_REVOKED);
    revoked.set = &grant.token_id;
    ck_assert_int_eq(grant_check(&grant, &authority, &revoked, NOW_MS), MN_REVOKED);
    revoked.set = &grant.serial; /* neither */
    ck_assert_int_eq(grant_check(&grant, &authority, &revoked, NOW_MS), MN_OK);
    mn_buf_unref(bytes);
}
END_TEST

/* Else a bad issuer puts out the others with the token that they all came by. */
START_TEST(grant_of_an_issuer_outlives_its_token)
{
    struct grant plain = plain_grant(), grant;
    struct mn_buf *bytes = grant_sign(&plain, &founder);
    struct grant_revoked revoked = {set_has, set_has, &grant.token_id};
    struct authority grown = authority;

    memcpy(grown.issuers[grown.issuers_count++], node.key.pk, SIGN_PK_SIZE);
    ck_assert_int_eq(grant_decode(mn_buf_span(bytes), &grant), MN_OK);
    ck_assert_int_eq(grant_check(&grant, &authority, &revoked, NOW_MS), MN_REVOKED);
    ck_assert_int_eq(grant_check(&grant, &grown, &revoked, NOW_MS), MN_OK);
    ck_assert(authority_has_issuer(&grown, &grant.node_id));
    ck_assert(!authority_has_issuer(&authority, &grant.node_id));
    mn_buf_unref(bytes);
}
END_TEST

START_TEST(grant_any_age_forgives_only_the_end)
{
    struct grant plain = plain_grant(), grant;
    struct mn_buf *bytes = grant_sign(&plain, &founder);

    ck_assert_int_eq(grant_decode(mn_buf_span(bytes), &grant), MN_OK);
    ck_assert_int_eq(grant_check_any_age(&grant, &authority, NULL, NOW_MS + 300 * DAY_MS), MN_OK);
    ck_assert_int_eq(grant_check_any_age(&grant, &authority, NULL, 0), MN_NOT_YET);
    mn_buf_unref(bytes);
}
END_TEST

static bool grant_refused(struct mn_span bytes)
{
    struct grant grant;

    return grant_decode(bytes, &grant) != MN_OK ||
           grant_check(&grant, &authority, NULL, NOW_MS) != MN_OK;
}

START_TEST(grant_with_any_flipped_bit_or_cut_is_refused)
{
    struct grant plain = plain_grant();
    struct mn_buf *bytes = grant_sign(&plain, &founder);

    ck_assert(!grant_refused(mn_buf_span(bytes)));
    assert_each_flipped_bit_refused(mn_buf_span(bytes), grant_refused);
    for (size_t size = 0; size < bytes->size; size++)
        ck_assert(grant_refused(mn_span(bytes->bytes, size)));
    mn_buf_unref(bytes);
}
END_TEST

START_TEST(grant_roles_are_ordered)
{
    grant_role edge, learner, any, voter;

    ck_assert_int_eq(grant_role_parse(mn_span_str("edge"), &edge), MN_OK);
    ck_assert_int_eq(grant_role_parse(mn_span_str("learner"), &learner), MN_OK);
    ck_assert_int_eq(grant_role_parse(mn_span_str("auto"), &any), MN_OK);
    ck_assert_int_eq(grant_role_parse(mn_span_str("voter"), &voter), MN_OK);
    ck_assert_int_eq(grant_role_parse(mn_span_str("boss"), &voter), MN_MALFORMED);
    ck_assert(grant_role_allows(voter, any) && grant_role_allows(any, learner));
    ck_assert(grant_role_allows(learner, edge) && grant_role_allows(edge, edge));
    ck_assert(!grant_role_allows(any, voter) && !grant_role_allows(edge, learner));
    ck_assert_str_eq(grant_role_name(learner), "learner");
}
END_TEST

/* ---- invites ---- */

static struct invite plain_invite(void)
{
    struct invite invite = {.token_id = token_id(&token),
                            .uses = 3,
                            .created_ms = NOW_MS,
                            .not_after_ms = NOW_MS + DAY_MS,
                            .role_max = MESHNODE__TRUST__ROLE__ROLE_VOTER,
                            .issuer_eligible = true};

    memcpy(invite.token_pk, token_sign.pk, SIGN_PK_SIZE);
    return invite;
}

static bool invite_refused(struct mn_span bytes)
{
    struct invite invite;

    return invite_decode(bytes, &invite) != MN_OK ||
           invite_check(&invite, &authority, NOW_MS) != MN_OK;
}

START_TEST(invite_decodes_to_what_was_signed_and_no_bit_is_free)
{
    struct invite plain = plain_invite(), back;
    struct mn_buf *bytes = invite_sign(&plain, &authority.mesh_id, &founder);

    ck_assert_int_eq(invite_decode(mn_buf_span(bytes), &back), MN_OK);
    ck_assert(mn_id_equal(&back.token_id, &plain.token_id));
    ck_assert_uint_eq(back.uses, 3);
    ck_assert_uint_eq(back.not_after_ms, plain.not_after_ms);
    ck_assert_mem_eq(back.home, founder.pk, SIGN_PK_SIZE);
    ck_assert(!invite_refused(mn_buf_span(bytes)));
    assert_each_flipped_bit_refused(mn_buf_span(bytes), invite_refused);
    mn_buf_unref(bytes);
}
END_TEST

static mn_status judge_invite(struct invite *plain, const struct sign_key *issuer, uint64_t wall_ms)
{
    struct mn_buf *bytes = invite_sign(plain, &authority.mesh_id, issuer);
    struct invite back;
    mn_status status = invite_decode(mn_buf_span(bytes), &back);

    if (status == MN_OK) status = invite_check(&back, &authority, wall_ms);
    mn_buf_unref(bytes);
    return status;
}

START_TEST(invite_is_refused_for_its_own_reason)
{
    struct invite invite = plain_invite();

    ck_assert_int_eq(judge_invite(&invite, &founder, NOW_MS), MN_OK);
    ck_assert_int_eq(judge_invite(&invite, &stranger, NOW_MS), MN_UNKNOWN_ISSUER);
    ck_assert_int_eq(judge_invite(&invite, &founder, invite.not_after_ms), MN_EXPIRED);
    invite.uses = INVITE_USES_MAX + 1;
    ck_assert_int_eq(judge_invite(&invite, &founder, NOW_MS), MN_TOO_BIG);
    invite = plain_invite();
    invite.not_after_ms = invite.created_ms + INVITE_TTL_MAX_MS + 1;
    ck_assert_int_eq(judge_invite(&invite, &founder, NOW_MS), MN_TOO_BIG);
    invite = plain_invite();
    invite.token_id.bytes[0] ^= 1;
    ck_assert_int_eq(judge_invite(&invite, &founder, NOW_MS), MN_MALFORMED);
}
END_TEST

static bool found_refused(struct mn_span bytes)
{
    struct invite_found found;

    return invite_found_check(bytes, token_sign.pk, &found) != MN_OK;
}

START_TEST(found_is_the_tokens_word_and_no_bit_is_free)
{
    struct invite_found plain = {.mesh_id = authority.mesh_id}, back;
    struct mn_buf *bytes;

    memcpy(plain.genesis_pin, authority_pin(&authority), DIGEST_PIN_SIZE);
    bytes = invite_found_sign(&plain, &token_sign);
    ck_assert_int_eq(invite_found_check(mn_buf_span(bytes), token_sign.pk, &back), MN_OK);
    ck_assert_mem_eq(&back, &plain, sizeof back);
    ck_assert_int_eq(invite_found_check(mn_buf_span(bytes), founder.pk, &back), MN_BAD_SIGNATURE);
    assert_each_flipped_bit_refused(mn_buf_span(bytes), found_refused);
    mn_buf_unref(bytes);
}
END_TEST

static bool withdraw_refused(struct mn_span bytes)
{
    struct invite_withdraw withdraw;

    return invite_withdraw_check(bytes, &authority, &withdraw) != MN_OK;
}

START_TEST(withdrawal_is_an_issuers_word_and_no_bit_is_free)
{
    struct invite_withdraw plain = {.token_id = token_id(&token), .at_ms = NOW_MS}, back;
    struct mn_buf *bytes = invite_withdraw_sign(&plain, &authority.mesh_id, &founder);

    ck_assert_int_eq(invite_withdraw_check(mn_buf_span(bytes), &authority, &back), MN_OK);
    ck_assert(mn_id_equal(&back.token_id, &plain.token_id) && back.at_ms == NOW_MS);
    assert_each_flipped_bit_refused(mn_buf_span(bytes), withdraw_refused);
    mn_buf_unref(bytes);
    bytes = invite_withdraw_sign(&plain, &authority.mesh_id, &stranger);
    ck_assert_int_eq(invite_withdraw_check(mn_buf_span(bytes), &authority, &back),
                     MN_UNKNOWN_ISSUER);
    mn_buf_unref(bytes);
}
END_TEST

/* ---- JOIN ---- */

static const uint8_t handshake[INVITE_JOIN_HASH_SIZE] = {7, 7, 7};

static struct invite_join plain_join(void)
{
    struct invite_join join = {.mesh_id = authority.mesh_id,
                               .name = "n1",
                               .region = "eu",
                               .role = MESHNODE__TRUST__ROLE__ROLE_LEARNER,
                               .nonce = {{5}}};

    memcpy(join.handshake, handshake, sizeof handshake);
    return join;
}

static mn_status judge_join(struct mn_span bytes, const mn_id *mesh_id, const uint8_t *h)
{
    struct mn_arena arena = {0};
    struct invite_join join;
    mn_status status = invite_join_decode(bytes, &arena, &join);

    if (status == MN_OK) status = invite_join_check(&join, mesh_id, h);
    mn_arena_done(&arena);
    return status;
}

static bool join_refused(struct mn_span bytes)
{
    return judge_join(bytes, &authority.mesh_id, handshake) != MN_OK;
}

START_TEST(join_decodes_to_what_was_signed)
{
    struct invite_join plain = plain_join(), back;
    struct mn_buf *bytes = invite_join_make(&plain, &node, &token_sign);
    struct mn_arena arena = {0};

    ck_assert_int_eq(invite_join_decode(mn_buf_span(bytes), &arena, &back), MN_OK);
    ck_assert_mem_eq(back.sign_pk, node.key.pk, SIGN_PK_SIZE);
    ck_assert_mem_eq(back.noise_pk, node.noise_pk, IDENTITY_NOISE_SIZE);
    ck_assert_mem_eq(back.token_pk, token_sign.pk, SIGN_PK_SIZE);
    ck_assert_str_eq(back.name, "n1");
    ck_assert_str_eq(back.region, "eu");
    ck_assert_int_eq(back.role, plain.role);
    ck_assert(!back.is_renewal);
    ck_assert_int_eq(invite_join_check(&back, &authority.mesh_id, handshake), MN_OK);
    mn_arena_done(&arena);
    mn_buf_unref(bytes);
}
END_TEST

START_TEST(join_is_bound_to_its_link_and_mesh)
{
    struct invite_join plain = plain_join();
    struct mn_buf *bytes = invite_join_make(&plain, &node, &token_sign);
    uint8_t other_link[INVITE_JOIN_HASH_SIZE] = {8};
    mn_id other_mesh = {{1}};

    ck_assert_int_eq(judge_join(mn_buf_span(bytes), &authority.mesh_id, other_link), MN_STATE);
    ck_assert_int_eq(judge_join(mn_buf_span(bytes), &authority.mesh_id, NULL), MN_OK);
    ck_assert_int_eq(judge_join(mn_buf_span(bytes), &other_mesh, handshake), MN_WRONG_MESH);
    mn_buf_unref(bytes);
}
END_TEST

START_TEST(join_with_any_flipped_bit_or_cut_is_refused)
{
    static const uint8_t grant[100];
    struct mn_buf *bytes;

    for (int kind = 0; kind < 3; kind++) {
        struct invite_join plain = plain_join();
        if (kind == 2) {
            plain.is_renewal = true;
            plain.grant = mn_span(grant, sizeof grant);
        }
        bytes = invite_join_make(&plain, &node, kind == 0 ? &token_sign : NULL);
        ck_assert(!join_refused(mn_buf_span(bytes)));
        assert_each_flipped_bit_refused(mn_buf_span(bytes), join_refused);
        for (size_t size = 0; size < bytes->size; size++)
            ck_assert(join_refused(mn_span(bytes->bytes, size)));
        mn_buf_unref(bytes);
    }
}
END_TEST

START_TEST(join_needs_the_tokens_secret)
{
    struct invite_join plain = plain_join();
    struct sign_key forged = stranger;
    struct mn_buf *bytes;

    memcpy(forged.pk, token_sign.pk, SIGN_PK_SIZE); /* knows the public half only */
    bytes = invite_join_make(&plain, &node, &forged);
    ck_assert_int_eq(judge_join(mn_buf_span(bytes), &authority.mesh_id, handshake),
                     MN_BAD_SIGNATURE);
    mn_buf_unref(bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grant");
    TCase *tcase = tcase_create("grant");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, grant_decodes_to_what_was_signed);
    tcase_add_test(tcase, grant_of_the_longest_names_fits_its_bound);
    tcase_add_test(tcase, grant_is_refused_for_its_own_reason);
    tcase_add_test(tcase, grant_form_is_checked);
    tcase_add_test(tcase, grant_of_a_retired_issuer_counts_if_made_before);
    tcase_add_test(tcase, grant_of_a_revoked_node_or_token_is_refused);
    tcase_add_test(tcase, grant_of_an_issuer_outlives_its_token);
    tcase_add_test(tcase, grant_any_age_forgives_only_the_end);
    tcase_add_test(tcase, grant_with_any_flipped_bit_or_cut_is_refused);
    tcase_add_test(tcase, grant_roles_are_ordered);
    tcase_add_test(tcase, invite_decodes_to_what_was_signed_and_no_bit_is_free);
    tcase_add_test(tcase, invite_is_refused_for_its_own_reason);
    tcase_add_test(tcase, found_is_the_tokens_word_and_no_bit_is_free);
    tcase_add_test(tcase, withdrawal_is_an_issuers_word_and_no_bit_is_free);
    tcase_add_test(tcase, join_decodes_to_what_was_signed);
    tcase_add_test(tcase, join_is_bound_to_its_link_and_mesh);
    tcase_add_test(tcase, join_with_any_flipped_bit_or_cut_is_refused);
    tcase_add_test(tcase, join_needs_the_tokens_secret);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
