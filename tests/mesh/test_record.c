/* Records and accusations: what is signed comes back, and nothing else gets through. */
#include "tests/crypto/support.h"
#include "tests/mesh/world.h"

#include "proto/member.pb-c.h"
#include "proto/pb.h"

static struct world world;
static struct mn_arena arena;

static void setup(void)
{
    world_init(&world, 3, 1);
}

static void teardown(void)
{
    world_done(&world);
    mn_arena_done(&arena);
}

static mn_status judge(struct mn_span bytes)
{
    struct record record;
    mn_status status = record_decode(bytes, &arena, &record);

    if (status == MN_OK) status = record_verify(&record, &world.authority, NULL, WORLD_WALL_MS);
    mn_arena_reset(&arena);
    return status;
}

START_TEST(record_decodes_to_what_was_signed)
{
    struct record_self self = world_self(&world, 1);
    struct record_numbers numbers = {7, 3, true, {{9, 9}}};
    struct mn_span bytes = {0};
    struct record record;

    self.addrs[1] = mn_span_str("[::1]:7001");
    self.addrs_count = 2;
    self.catalog_version = 5;
    memset(self.catalog_root, 0xcd, sizeof self.catalog_root);
    self.ring_salt = UINT64_MAX;
    self.weight = RECORD_WEIGHT_MAX;
    ck_assert_int_eq(record_sign(&self, &numbers, &world.nodes[1].identity,
                                 &world.authority.mesh_id, &world.arena, &bytes),
                     MN_OK);
    ck_assert_int_eq(judge(bytes), MN_OK);
    ck_assert_int_eq(record_decode(bytes, &arena, &record), MN_OK);
    ck_assert(mn_id_equal(&record.node_id, &world.nodes[1].identity.node_id));
    ck_assert_uint_eq(record.incarnation, 7);
    ck_assert_uint_eq(record.seq, 3);
    ck_assert(record.has_left);
    ck_assert_int_eq(record.boot_id.bytes[0], 9);
    ck_assert_uint_eq(record.said.addrs_count, 2);
    ck_assert(mn_span_is(record.said.addrs[1], "[::1]:7001"));
    ck_assert(mn_span_is(record.said.region, "eu"));
    ck_assert(mn_span_is(record.said.zone, "a"));
    ck_assert_int_eq(record.said.role, MESHNODE__TRUST__ROLE__ROLE_VOTER);
    ck_assert_uint_eq(record.said.weight, RECORD_WEIGHT_MAX);
    ck_assert_uint_eq(record.said.catalog_version, 5);
    ck_assert_int_eq(record.said.catalog_root[15], 0xcd);
    ck_assert_uint_eq(record.said.ring_salt, UINT64_MAX);
    ck_assert_str_eq(record.grant.name, "n1");
    ck_assert_int_eq(memcmp(record.noise_pk, world.nodes[1].identity.noise_pk, IDENTITY_NOISE_SIZE),
                     0);
}
END_TEST

START_TEST(kept_record_needs_nothing_else)
{
    uint8_t bytes[RECORD_SIZE_MAX];
    struct mn_span made = world_record(&world, 1, 2, 0, 1);
    struct record record, *kept;
    struct mn_pool pool;

    memcpy(bytes, made.data, made.size);
    ck_assert_int_eq(record_decode(mn_span(bytes, made.size), &arena, &record), MN_OK);
    mn_pool_init(&pool, 64);
    ck_assert_ptr_null(record_keep(&record, &pool));
    mn_pool_init(&pool, 8192);
    kept = record_keep(&record, &pool);
    memset(bytes, 0, sizeof bytes);
    mn_arena_done(&arena);
    ck_assert(mn_span_is(kept->said.addrs[0], "n1:7000"));
    ck_assert(mn_span_is(kept->said.region, "eu"));
    ck_assert(mn_span_equal(kept->said.grant, mn_buf_span(world.nodes[1].grant)));
    ck_assert(mn_span_equal(kept->signed_bytes, made));
    mn_pool_free(&pool, kept);
    ck_assert_uint_eq(pool.used, 0);
}
END_TEST

static bool record_is_refused(struct mn_span flipped)
{
    return judge(flipped) != MN_OK;
}

START_TEST(each_flipped_bit_of_a_record_is_refused)
{
    assert_each_flipped_bit_refused(world_record(&world, 1, 2, 0, 1), record_is_refused);
}
END_TEST

START_TEST(record_with_bytes_added_outside_the_signature_is_refused)
{
    struct mn_span made = world_record(&world, 1, 2, 0, 1);
    uint8_t bytes[RECORD_SIZE_MAX + 8];
    static const uint8_t extra[] = {0x1a, 1, 'x'}; /* an unknown field */

    memcpy(bytes, made.data, made.size);
    memcpy(bytes + made.size, extra, sizeof extra);
    ck_assert_int_eq(judge(mn_span(bytes, made.size + sizeof extra)), MN_MALFORMED);
    memcpy(bytes + made.size, "\x0a\x00", 2); /* the body once more, empty */
    ck_assert_int_eq(judge(mn_span(bytes, made.size + 2)), MN_MALFORMED);
    ck_assert_int_eq(judge(mn_span(bytes, made.size - 1)), MN_MALFORMED);
    ck_assert_int_eq(judge(mn_span(bytes, 0)), MN_MALFORMED);
    ck_assert_int_eq(judge(mn_span(bytes, RECORD_SIZE_MAX + 1)), MN_TOO_BIG);
}
END_TEST

/* Signs [self] with the key of node 1 and judges it. */
static mn_status judge_self(const struct record_self *self)
{
    struct record_numbers numbers = {.incarnation = 1};
    struct mn_span bytes;
    mn_status status = record_sign(self, &numbers, &world.nodes[1].identity,
                                   &world.authority.mesh_id, &world.arena, &bytes);

    return status == MN_OK ? judge(bytes) : status;
}

START_TEST(record_out_of_bounds_is_not_signed)
{
    struct record_self self = world_self(&world, 1);
    char text[RECORD_ADDR_SIZE_MAX + 2];

    memset(text, 'a', sizeof text);
    self.addrs[0] = mn_span(text, RECORD_ADDR_SIZE_MAX + 1);
    ck_assert_int_eq(judge_self(&self), MN_CONFIG);
    self.addrs[0] = mn_span(text, RECORD_ADDR_SIZE_MAX);
    ck_assert_int_eq(judge_self(&self), MN_OK);
    self.addrs[0] = mn_span_str("a b");
    ck_assert_int_eq(judge_self(&self), MN_CONFIG);
    self.addrs_count = RECORD_ADDRS_MAX + 1;
    ck_assert_int_eq(judge_self(&self), MN_CONFIG);
    self = world_self(&world, 1);
    self.zone = mn_span_str("Zone");
    ck_assert_int_eq(judge_self(&self), MN_CONFIG);
    self = world_self(&world, 1);
    self.protocol_min = 2;
    ck_assert_int_eq(judge_self(&self), MN_CONFIG);
    self = world_self(&world, 1);
    for (uint32_t i = 0; i < RECORD_ADDRS_MAX; i++)
        self.addrs[i] = mn_span(text, RECORD_ADDR_SIZE_MAX);
    self.addrs_count = RECORD_ADDRS_MAX;
    self.region = self.zone = mn_span(text, RECORD_ZONE_SIZE_MAX);
    self.catalog_version = UINT64_MAX;
    ck_assert_int_eq(judge_self(&self), MN_TOO_BIG);
}
END_TEST

START_TEST(record_with_the_grant_of_another_node_is_refused)
{
    struct record_self self = world_self(&world, 1);

    self.grant = mn_buf_span(world.nodes[2].grant);
    ck_assert_int_eq(judge_self(&self), MN_DENIED);
}
END_TEST

START_TEST(record_may_not_say_more_than_its_grant)
{
    struct grant grant = {.mesh_id = world.authority.mesh_id,
                          .name = "edge",
                          .region = "us",
                          .role_max = MESHNODE__TRUST__ROLE__ROLE_EDGE,
                          .not_after_ms = WORLD_WALL_MS + WORLD_GRANT_MS,
                          .authority_version = 1,
                          .via = MESHNODE__TRUST__VIA__VIA_TOKEN};
    struct record_self self = world_self(&world, 1);
    struct mn_buf *buf;

    memcpy(grant.sign_pk, world.nodes[1].identity.key.pk, SIGN_PK_SIZE);
    buf = grant_sign(&grant, &world.issuer);
    self.grant = mn_buf_span(buf);
    self.role = MESHNODE__TRUST__ROLE__ROLE_EDGE;
    ck_assert_int_eq(judge_self(&self), MN_DENIED); /* region eu */
    self.region = mn_span_str("us");
    ck_assert_int_eq(judge_self(&self), MN_OK);
    self.role = MESHNODE__TRUST__ROLE__ROLE_VOTER;
    ck_assert_int_eq(judge_self(&self), MN_DENIED);
    mn_buf_unref(buf);
}
END_TEST

START_TEST(record_of_an_expired_grant_is_refused)
{
    struct mn_span made = world_record(&world, 1, 2, 0, 1);
    struct record record;
    uint64_t end = WORLD_WALL_MS + WORLD_GRANT_MS + GRANT_TOLERANCE_MS;

    ck_assert_int_eq(record_decode(made, &arena, &record), MN_OK);
    ck_assert_int_eq(record_verify(&record, &world.authority, NULL, end - 1000), MN_OK);
    ck_assert_int_eq(record_verify(&record, &world.authority, NULL, end + 1000), MN_EXPIRED);
}
END_TEST

START_TEST(record_with_a_link_key_that_the_node_key_did_not_sign_is_refused)
{
    struct record_numbers numbers = {.incarnation = 1};
    struct record_self self = world_self(&world, 1);
    struct identity forged = world.nodes[1].identity;
    struct mn_span bytes;

    memcpy(forged.noise_pk, world.nodes[2].identity.noise_pk, sizeof forged.noise_pk);
    ck_assert_int_eq(
        record_sign(&self, &numbers, &forged, &world.authority.mesh_id, &world.arena, &bytes),
        MN_OK);
    ck_assert_int_eq(judge(bytes), MN_BAD_SIGNATURE);
}
END_TEST

/* The same body and signature in other bytes: a length with a needless last byte. */
START_TEST(record_in_another_encoding_is_refused)
{
    struct mn_span made = world_record(&world, 1, 2, 0, 1);
    uint8_t bytes[RECORD_SIZE_MAX + 1];

    ck_assert_int_ge(made.data[1], 0x80); /* a length of two bytes */
    memcpy(bytes, made.data, 3);
    bytes[2] |= 0x80;
    bytes[3] = 0;
    memcpy(bytes + 4, made.data + 3, made.size - 3);
    ck_assert_int_eq(judge(mn_span(bytes, made.size + 1)), MN_MALFORMED);
}
END_TEST

START_TEST(record_of_another_mesh_is_refused)
{
    struct record_self self = world_self(&world, 1);
    struct record_numbers numbers = {.incarnation = 1};
    mn_id other = {{1}};
    struct mn_span bytes;

    ck_assert_int_eq(
        record_sign(&self, &numbers, &world.nodes[1].identity, &other, &world.arena, &bytes),
        MN_OK);
    ck_assert_int_eq(judge(bytes), MN_BAD_SIGNATURE);
}
END_TEST

START_TEST(records_are_ordered_by_incarnation_then_left_then_seq)
{
    struct record a = {.incarnation = 2, .seq = 1}, b = {.incarnation = 1, .seq = 9};

    ck_assert_int_gt(record_compare(&a, &b), 0);
    ck_assert_int_lt(record_compare(&b, &a), 0);
    b.incarnation = 2;
    ck_assert_int_lt(record_compare(&a, &b), 0);
    a.has_left = true;
    ck_assert_int_gt(record_compare(&a, &b), 0);
    b.has_left = true;
    b.seq = 1;
    ck_assert_int_eq(record_compare(&a, &b), 0);
}
END_TEST

/* ---- accusations ---- */

static bool accusation_is_refused(struct mn_span flipped)
{
    struct accusation accusation;
    mn_status status = accusation_decode(flipped, &arena, &accusation);

    if (status == MN_OK)
        status = accusation_verify(&accusation, world.nodes[1].identity.key.pk,
                                   &world.authority.mesh_id);
    mn_arena_reset(&arena);
    return status != MN_OK;
}

START_TEST(accusation_decodes_to_what_was_signed)
{
    struct mn_span made = world_accusation(&world, 1, 2, 4, ACCUSATION_DEAD);
    struct accusation accusation;

    ck_assert_uint_le(made.size, ACCUSATION_SIZE_MAX);
    ck_assert(!accusation_is_refused(made));
    ck_assert_int_eq(accusation_decode(made, &arena, &accusation), MN_OK);
    ck_assert(mn_id_equal(&accusation.subject, &world.nodes[2].identity.node_id));
    ck_assert(mn_id_equal(&accusation.accuser, &world.nodes[1].identity.node_id));
    ck_assert_uint_eq(accusation.subject_incarnation, 4);
    ck_assert_int_eq(accusation.kind, ACCUSATION_DEAD);
}
END_TEST

START_TEST(accusation_with_the_biggest_numbers_fits)
{
    struct mn_span made = world_accusation(&world, 1, 2, UINT64_MAX, ACCUSATION_DEAD);

    ck_assert(!accusation_is_refused(made));
}
END_TEST

START_TEST(each_flipped_bit_of_an_accusation_is_refused)
{
    assert_each_flipped_bit_refused(world_accusation(&world, 1, 2, 4, ACCUSATION_SUSPECT),
                                    accusation_is_refused);
}
END_TEST

START_TEST(nobody_accuses_itself)
{
    ck_assert(accusation_is_refused(world_accusation(&world, 1, 1, 4, ACCUSATION_DEAD)));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("record");
    TCase *tcase = tcase_create("record");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, record_decodes_to_what_was_signed);
    tcase_add_test(tcase, kept_record_needs_nothing_else);
    tcase_add_test(tcase, each_flipped_bit_of_a_record_is_refused);
    tcase_add_test(tcase, record_with_bytes_added_outside_the_signature_is_refused);
    tcase_add_test(tcase, record_out_of_bounds_is_not_signed);
    tcase_add_test(tcase, record_with_the_grant_of_another_node_is_refused);
    tcase_add_test(tcase, record_may_not_say_more_than_its_grant);
    tcase_add_test(tcase, record_of_an_expired_grant_is_refused);
    tcase_add_test(tcase, record_with_a_link_key_that_the_node_key_did_not_sign_is_refused);
    tcase_add_test(tcase, record_in_another_encoding_is_refused);
    tcase_add_test(tcase, record_of_another_mesh_is_refused);
    tcase_add_test(tcase, records_are_ordered_by_incarnation_then_left_then_seq);
    tcase_add_test(tcase, accusation_decodes_to_what_was_signed);
    tcase_add_test(tcase, accusation_with_the_biggest_numbers_fits);
    tcase_add_test(tcase, each_flipped_bit_of_an_accusation_is_refused);
    tcase_add_test(tcase, nobody_accuses_itself);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
