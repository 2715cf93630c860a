/* Noise XX: public vectors, and what a handshake and a cipher must refuse. */
#include <stdio.h>

#include "crypto/noise.h"
#include "proto/base/memory.h"
#include "tests/crypto/support.h"

#define PROTOCOL "Noise_XX_25519_ChaChaPoly_BLAKE2b"
#define MESSAGES_MAX 8
#define FIELD_MAX 1024

struct vector {
    const char *name, *prologue, *init_static, *init_ephemeral, *resp_static, *resp_ephemeral;
    const char *hash; /* NULL: the source has none */
    struct {
        const char *payload, *ciphertext;
    } messages[MESSAGES_MAX];
    size_t messages_count;
};

/* From cacophony and from snow, as the Noise wiki's test vector format has them. */
static const struct vector vectors[] = {
    {
        .name = "cacophony",
        .prologue = "4a6f686e2047616c74",
        .init_static = "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
        .init_ephemeral = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
        .resp_static = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
        .resp_ephemeral = "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
        .hash = "8cf47d7b3cb5804c0109d48e8bcdbee2cbb65687d8ea2c92994ca361fb86151ad93627b98936cb"
                "b32de56e8abb21def3925011ac3e35db9cbeea73ab9a4392c2",
        .messages =
            {
                {"4c756477696720766f6e204d69736573",
                 "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79444c756477696720"
                 "766f6e204d69736573"},
                {"4d757272617920526f746862617264",
                 "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088430505b6745ce64a"
                 "5f33f0e8e3b83f11ce8802bca507f4f2d8b564dbe277e1966116e132faa2dfd70b8b077b9f94b9"
                 "13df5056ae1319469b824a98d54bbaa82c325595587064f978c4b6d104f7596e6f"},
                {"462e20412e20486179656b",
                 "99579e1c1ee15e422a57ddd6b16d37087b17558e8369c18991b4b2ca3a824abf904cdcf5458b54"
                 "31a75af034ca9e9b982de039eaaf156775e2d580cd4e5ebae89c3f8cb2594b556d8a8169"},
                {"4361726c204d656e676572",
                 "fc56eea290b3f3a21aac0c70cd5787b5ee99be37d2f4d751329b55"},
                {"4a65616e2d426170746973746520536179",
                 "bb31c9da10d5639a4cdb88a12f5c61de41bbc7df09bf75d94f8184fe4157f5c68f"},
                {"457567656e2042f6686d20766f6e2042617765726b",
                 "f6199cadb152fb27f82be0a0891ec76a33598ae92a46cab2fb5a8ed5bf48b7f267f8370af7"},
            },
        .messages_count = 6,
    },
    {
        .name = "snow",
        .prologue = "5468657265206973206e6f20726967687420616e642077726f6e672e2054686572652773206f6e"
                    "6c792066756e20616e6420626f72696e672e",
        .init_static = "842752777821bd4c9a6a84c777cb9028ba2446c864e035c8d380632dca3a7702",
        .init_ephemeral = "5dfce6be0b767fc60a51e1d627711c67d63e97115cb3957a64a66919747ea47c",
        .resp_static = "8885e7006b27a44bec4a6e7bfcc37032a3564a73bf9588585bd1166829d80d8a",
        .resp_ephemeral = "9c012e056ed37994a4bfb09f57a7505bf44c07e9784c3c2bcefd8880b2d85e21",
        .messages =
            {
                {"bcb708376354e0dc837fc3f7e0e9c8c59849fd907a129a3c0afde64e79d1ac09",
                 "50a7da541baa50d563e3fd3526f53e9b7e4af8083a4180b5d1f8cd49fbe30518bcb708376354e0"
                 "dc837fc3f7e0e9c8c59849fd907a129a3c0afde64e79d1ac09"},
                {"77783888d07aa30dfeccf96d8da0a293546232bc8a460b5fbca479e3da54d3b2",
                 "6b0ae570deada82b6f3071c87bd361014c34f8d15fee49ed0078f38a9c05bb703c2eb46ccc2734"
                 "a9c07555b85d6f0b5ae29f24aaa2c351d815acd2e1de7770344339d0d854daf5a4468b189caf7f"
                 "f643d6c5645e9e7fd5edcad6755ea0a01f51f552650ab99b7a0eba09f64b9dc0737f5756688682"
                 "897c0912890a6ec56d72f8"},
                {"420d0154f4e26a4224c201f3ecceddc06eb8896b78386978fb25b21dd276c6fb",
                 "386d9e2549dcb9a016db7e05f45c19d2c4fd4e7a61d1c06dbd01d21012d448b34761826aa7b3fc"
                 "8d0c5cc73d487c1f19ac29de837b4ccd361603f03d12f8971ae0534fbd8096fd5bc2c7bdc77026"
                 "207623514afa5804d07a3b0c316f9e5a9c12"},
                {"58f929d4d8eda457fb01b3a09bb6391aac0d93477df9e3042355741747744571",
                 "c81ba3d22336cd78d64ff9e2161d339db9fd3a5407a3fb594fb7a59d718e83c6054b1002721e63"
                 "ffb2a2d2d8bfd670bc"},
                {"c86af330a6b59de9d7ead76260204ef7e897a1323bdc0a9c5ea4450556ed0bf6",
                 "1207c87bc8ec9b6d5db3a3d3ed5caab43c98e71492a424b7d7302ea8313d1b0e3644c9b3c479a8"
                 "0cdb3da1e92466b8ac"},
            },
        .messages_count = 5,
    },
};

/* ---- running a vector ---- */

struct side {
    struct noise noise;
    struct noise_cipher send, receive;
};

static void side_init(struct side *side, bool is_initiator, const struct vector *vector)
{
    uint8_t static_sk[32], static_pk[32], ephemeral[32], prologue[FIELD_MAX];
    size_t prologue_size = strlen(vector->prologue) / 2;

    ck_assert_uint_le(prologue_size, sizeof prologue);
    from_hex(vector->prologue, prologue, prologue_size);
    from_hex(is_initiator ? vector->init_static : vector->resp_static, static_sk, 32);
    from_hex(is_initiator ? vector->init_ephemeral : vector->resp_ephemeral, ephemeral, 32);
    ck_assert_int_eq(crypto_scalarmult_base(static_pk, static_sk), 0);
    noise_init(&side->noise, &(struct noise_config){.is_initiator = is_initiator,
                                                    .prologue = mn_span(prologue, prologue_size),
                                                    .static_sk = static_sk,
                                                    .static_pk = static_pk,
                                                    .ephemeral_sk = ephemeral});
}

static void carry_handshake(struct side *from, struct side *to, struct mn_span payload,
                            struct mn_span expected)
{
    uint8_t message[2 * FIELD_MAX], back[2 * FIELD_MAX];
    size_t size, back_size;

    ck_assert(noise_must_write(&from->noise) && !noise_must_write(&to->noise));
    ck_assert_int_eq(noise_write(&from->noise, payload, message, sizeof message, &size), MN_OK);
    ck_assert_uint_eq(size, expected.size);
    ck_assert_mem_eq(message, expected.data, size);
    ck_assert_int_eq(noise_read(&to->noise, mn_span(message, size), back, sizeof back, &back_size),
                     MN_OK);
    ck_assert(mn_span_equal(mn_span(back, back_size), payload));
}

static void carry_transport(struct side *from, struct side *to, struct mn_span payload,
                            struct mn_span expected)
{
    uint8_t message[2 * FIELD_MAX];

    memcpy(message, payload.data, payload.size);
    ck_assert_int_eq(noise_seal(&from->send, message, payload.size, message), MN_OK);
    ck_assert_uint_eq(payload.size + NOISE_TAG_SIZE, expected.size);
    ck_assert_mem_eq(message, expected.data, expected.size);
    ck_assert_int_eq(noise_open(&to->receive, message, expected.size, message), MN_OK);
    ck_assert_mem_eq(message, payload.data, payload.size);
}

static void assert_split(const struct vector *vector, struct side *init, struct side *resp)
{
    ck_assert(noise_is_done(&init->noise) && noise_is_done(&resp->noise));
    ck_assert_mem_eq(init->noise.hash, resp->noise.hash, NOISE_HASH_SIZE);
    ck_assert_mem_eq(init->noise.remote_static, resp->noise.static_pk, 32);
    ck_assert_mem_eq(resp->noise.remote_static, init->noise.static_pk, 32);
    if (vector->hash != NULL) assert_hex(init->noise.hash, NOISE_HASH_SIZE, vector->hash);
    noise_split(&init->noise, &init->send, &init->receive);
    noise_split(&resp->noise, &resp->send, &resp->receive);
}

static void run_vector(const struct vector *vector)
{
    uint8_t payload[FIELD_MAX], ciphertext[FIELD_MAX];
    struct side init, resp;

    side_init(&init, true, vector);
    side_init(&resp, false, vector);
    for (size_t i = 0; i < vector->messages_count; i++) {
        size_t payload_size = strlen(vector->messages[i].payload) / 2;
        size_t size = strlen(vector->messages[i].ciphertext) / 2;
        struct side *from = i % 2 == 0 ? &init : &resp, *to = i % 2 == 0 ? &resp : &init;

        ck_assert(payload_size <= sizeof payload && size <= sizeof ciphertext);
        from_hex(vector->messages[i].payload, payload, payload_size);
        from_hex(vector->messages[i].ciphertext, ciphertext, size);
        if (i == 3) assert_split(vector, &init, &resp);
        (i < 3 ? carry_handshake : carry_transport)(from, to, mn_span(payload, payload_size),
                                                    mn_span(ciphertext, size));
    }
}

START_TEST(noise_speaks_as_the_published_vectors_do)
{
    run_vector(&vectors[_i]);
}
END_TEST

/* ---- vectors from a file: just enough JSON for "name": "text" members, in the order they stand
 * ---- */

static char *file_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = malloc(1 << 20);
    size_t size;

    ck_assert_msg(file != NULL, "cannot open %s", path);
    size = fread(text, 1, (1 << 20) - 1, file);
    text[size] = '\0';
    fclose(file);
    return text;
}

/* The value of the first member [name] of [section], copied; NULL: none. */
static const char *member_text(struct mn_arena *arena, const char *section, const char *name)
{
    const char *wanted = mn_arena_format(arena, "\"%s\": \"", name);
    const char *at = strstr(section, wanted);

    if (at == NULL) return NULL;
    at += strlen(wanted);
    return (const char *)mn_arena_copy(arena, mn_span(at, strcspn(at, "\""))).data;
}

static void run_section(struct mn_arena *arena, const char *section)
{
    struct vector vector = {.name = "file"};

    vector.prologue = member_text(arena, section, "init_prologue");
    vector.init_static = member_text(arena, section, "init_static");
    vector.init_ephemeral = member_text(arena, section, "init_ephemeral");
    vector.resp_static = member_text(arena, section, "resp_static");
    vector.resp_ephemeral = member_text(arena, section, "resp_ephemeral");
    vector.hash = member_text(arena, section, "handshake_hash");
    for (const char *at = strstr(section, "\"payload\""); at != NULL;
         at = strstr(at + 1, "\"payload\"")) {
        ck_assert_uint_lt(vector.messages_count, MESSAGES_MAX);
        vector.messages[vector.messages_count].payload = member_text(arena, at, "payload");
        vector.messages[vector.messages_count++].ciphertext = member_text(arena, at, "ciphertext");
    }
    run_vector(&vector);
}

START_TEST(noise_speaks_as_all_vectors_of_the_file_do)
{
    const char *folder = getenv("MESHNODE_VECTORS_DIR");
    static const char name[] = "\"protocol_name\"";
    struct mn_arena arena = {0};
    unsigned runs = 0;
    char *text;

    if (folder == NULL) {
        printf("MESHNODE_VECTORS_DIR is not set: only the typed-in vectors were run\n");
        return;
    }
    text = file_text(mn_arena_format(&arena, "%s/noise.json", folder));
    for (char *at = strstr(text, name), *next; at != NULL; at = next) {
        next = strstr(at + 1, name);
        if (next != NULL) next[-1] = '\0'; /* one section ends here; the name itself stays whole */
        if (strcmp(member_text(&arena, at, "protocol_name"), PROTOCOL) == 0) {
            run_section(&arena, at);
            runs++;
        }
    }
    ck_assert_uint_ge(runs, 2);
    printf("%u vectors of %s/noise.json\n", runs, folder);
    free(text);
    mn_arena_done(&arena);
}
END_TEST

/* ---- handshakes that must fail ---- */

#define PAYLOAD "payload of a message"

struct pair {
    struct side init, resp;
    uint8_t message[256];
    size_t size;
};

/* A handshake after [messages] messages, the last of them still in pair->message, unread. */
static void pair_init(struct pair *pair, unsigned messages)
{
    uint8_t back[256];
    size_t back_size;

    side_init(&pair->init, true, &vectors[0]);
    side_init(&pair->resp, false, &vectors[0]);
    for (unsigned i = 0; i < messages; i++) {
        struct side *from = i % 2 == 0 ? &pair->init : &pair->resp;
        struct side *to = i % 2 == 0 ? &pair->resp : &pair->init;
        ck_assert_int_eq(noise_write(&from->noise, mn_span_str(PAYLOAD), pair->message,
                                     sizeof pair->message, &pair->size),
                         MN_OK);
        if (i + 1 < messages)
            ck_assert_int_eq(noise_read(&to->noise, mn_span(pair->message, pair->size), back,
                                        sizeof back, &back_size),
                             MN_OK);
    }
}

static struct noise *pair_reader(struct pair *pair, unsigned messages)
{
    return messages % 2 == 1 ? &pair->resp.noise : &pair->init.noise;
}

/* Bits of message 1 are in clear, so they only show when message 2 does not open. */
START_TEST(noise_handshake_with_any_flipped_bit_never_completes)
{
    unsigned messages = (unsigned)_i + 1;
    struct pair pair, bent;
    uint8_t back[256];
    size_t size;

    pair_init(&pair, messages);
    for (size_t bit = 0; bit < pair.size * 8; bit++) {
        struct noise *reader;
        mn_status status;

        bent = pair;
        bent.message[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        reader = pair_reader(&bent, messages);
        status = noise_read(reader, mn_span(bent.message, bent.size), back, sizeof back, &size);
        if (messages == 1 && status == MN_OK) {
            status = noise_write(&bent.resp.noise, mn_span_str(PAYLOAD), bent.message,
                                 sizeof bent.message, &bent.size);
            if (status == MN_OK)
                status = noise_read(&bent.init.noise, mn_span(bent.message, bent.size), back,
                                    sizeof back, &size);
            reader = &bent.init.noise;
        }
        ck_assert_msg(status != MN_OK, "message %u, bit %zu", messages, bit);
        ck_assert(!noise_is_done(reader));
    }
}
END_TEST

START_TEST(noise_handshake_cut_short_is_refused)
{
    unsigned messages = (unsigned)_i + 1;
    struct pair pair, bent;
    uint8_t back[256];
    size_t back_size;

    pair_init(&pair, messages);
    for (size_t size = 0; size < pair.size; size++) {
        struct noise *reader;
        bent = pair;
        reader = pair_reader(&bent, messages);
        if (messages == 1 && size >= NOISE_OVERHEAD_1) continue; /* clear: shows in message 2 */
        ck_assert_int_ne(
            noise_read(reader, mn_span(bent.message, size), back, sizeof back, &back_size), MN_OK);
        ck_assert_int_eq(
            noise_read(reader, mn_span(pair.message, pair.size), back, sizeof back, &back_size),
            MN_STATE);
        ck_assert(!noise_must_write(reader));
    }
}
END_TEST

START_TEST(noise_prologues_must_agree)
{
    struct vector other = vectors[0];
    struct side init, resp;
    uint8_t message[256], back[256];
    size_t size;

    other.prologue = "00";
    side_init(&init, true, &vectors[0]);
    side_init(&resp, false, &other);
    ck_assert_int_eq(noise_write(&init.noise, mn_span_str(""), message, sizeof message, &size),
                     MN_OK);
    ck_assert_int_eq(noise_read(&resp.noise, mn_span(message, size), back, sizeof back, &size),
                     MN_OK);
    ck_assert_int_eq(noise_write(&resp.noise, mn_span_str(""), message, sizeof message, &size),
                     MN_OK);
    ck_assert_int_eq(noise_read(&init.noise, mn_span(message, size), back, sizeof back, &size),
                     MN_CRYPTO);
}
END_TEST

/* A zero ephemeral key would make the shared secret known to everybody. */
START_TEST(noise_refuses_an_all_zero_shared_secret)
{
    struct side resp;
    uint8_t message[256] = {0};
    size_t size;

    side_init(&resp, false, &vectors[0]);
    ck_assert_int_eq(noise_read(&resp.noise, mn_span(message, 32), message, sizeof message, &size),
                     MN_OK);
    ck_assert_int_eq(noise_write(&resp.noise, mn_span_str(""), message, sizeof message, &size),
                     MN_CRYPTO);
    ck_assert_int_eq(noise_write(&resp.noise, mn_span_str(""), message, sizeof message, &size),
                     MN_STATE);
}
END_TEST

START_TEST(noise_knows_whose_turn_it_is)
{
    struct side init;
    uint8_t message[256] = {0}, back[256];
    size_t size;

    side_init(&init, true, &vectors[0]);
    ck_assert_int_eq(noise_read(&init.noise, mn_span(message, 200), back, sizeof back, &size),
                     MN_STATE);
    ck_assert_int_eq(noise_write(&init.noise, mn_span_str("x"), message, 32, &size), MN_TOO_BIG);
    ck_assert_int_eq(noise_write(&init.noise, mn_span_str("x"), message, 33, &size), MN_OK);
    ck_assert_int_eq(noise_write(&init.noise, mn_span_str("x"), message, 33, &size), MN_STATE);
}
END_TEST

/* ---- ciphers ---- */

static struct noise_cipher test_cipher(void)
{
    struct noise_cipher cipher = {.nonce = 0};

    counting(cipher.key, sizeof cipher.key);
    return cipher;
}

START_TEST(cipher_refuses_replay_reorder_and_tampering)
{
    struct noise_cipher send = test_cipher(), receive = test_cipher();
    uint8_t first[32], second[32], back[32];

    ck_assert_int_eq(noise_seal(&send, (const uint8_t *)"one", 3, first), MN_OK);
    ck_assert_int_eq(noise_seal(&send, (const uint8_t *)"two", 3, second), MN_OK);
    ck_assert_int_eq(noise_open(&receive, second, 19, back), MN_CRYPTO);
    for (size_t bit = 0; bit < 19 * 8; bit++) {
        first[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        ck_assert_int_eq(noise_open(&receive, first, 19, back), MN_CRYPTO);
        first[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    ck_assert_int_eq(noise_open(&receive, first, 15, back), MN_CRYPTO);
    ck_assert_int_eq(noise_open(&receive, first, 19, back), MN_OK);
    ck_assert_int_eq(noise_open(&receive, first, 19, back), MN_CRYPTO);
    ck_assert_int_eq(noise_open(&receive, second, 19, back), MN_OK);
}
END_TEST

START_TEST(cipher_stops_before_its_nonces_end)
{
    struct noise_cipher send = test_cipher(), receive = test_cipher();
    uint8_t sealed[32] = {0}, back[32];

    send.nonce = receive.nonce = NOISE_NONCE_MAX - 1;
    ck_assert_int_eq(noise_seal(&send, (const uint8_t *)"last", 4, sealed), MN_OK);
    ck_assert_int_eq(noise_seal(&send, (const uint8_t *)"over", 4, back), MN_STATE);
    ck_assert_int_eq(noise_open(&receive, sealed, 20, back), MN_OK);
    ck_assert_int_eq(noise_open(&receive, sealed, 20, back), MN_STATE);
}
END_TEST

START_TEST(cipher_rekeyed_on_both_sides_runs_on)
{
    struct noise_cipher send = test_cipher(), receive = test_cipher(), old;
    uint8_t sealed[32], back[32];

    ck_assert_int_eq(noise_seal(&send, (const uint8_t *)"one", 3, sealed), MN_OK);
    ck_assert_int_eq(noise_open(&receive, sealed, 19, back), MN_OK);
    old = receive;
    noise_rekey(&send);
    noise_rekey(&receive);
    ck_assert_uint_eq(send.nonce, 1);
    ck_assert_mem_ne(send.key, old.key, sizeof old.key);
    ck_assert_int_eq(noise_seal(&send, (const uint8_t *)"two", 3, sealed), MN_OK);
    ck_assert_int_eq(noise_open(&old, sealed, 19, back), MN_CRYPTO);
    ck_assert_int_eq(noise_open(&receive, sealed, 19, back), MN_OK);
    ck_assert_mem_eq(back, "two", 3);
}
END_TEST

START_TEST(cipher_carries_empty_and_largest_messages)
{
    struct noise_cipher send = test_cipher(), receive = test_cipher();
    uint8_t *bytes = calloc(1, NOISE_MESSAGE_MAX);

    ck_assert_int_eq(noise_seal(&send, NULL, 0, bytes), MN_OK);
    ck_assert_int_eq(noise_open(&receive, bytes, NOISE_TAG_SIZE, bytes), MN_OK);
    ck_assert_int_eq(noise_seal(&send, bytes, NOISE_PLAIN_MAX, bytes), MN_OK);
    ck_assert_int_eq(noise_open(&receive, bytes, NOISE_MESSAGE_MAX, bytes), MN_OK);
    free(bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("noise");
    TCase *tcase = tcase_create("noise");

    tcase_add_loop_test(tcase, noise_speaks_as_the_published_vectors_do, 0,
                        (int)(sizeof vectors / sizeof vectors[0]));
    tcase_add_test(tcase, noise_speaks_as_all_vectors_of_the_file_do);
    tcase_add_loop_test(tcase, noise_handshake_with_any_flipped_bit_never_completes, 0, 3);
    tcase_add_loop_test(tcase, noise_handshake_cut_short_is_refused, 0, 3);
    tcase_add_test(tcase, noise_prologues_must_agree);
    tcase_add_test(tcase, noise_refuses_an_all_zero_shared_secret);
    tcase_add_test(tcase, noise_knows_whose_turn_it_is);
    tcase_add_test(tcase, cipher_refuses_replay_reorder_and_tampering);
    tcase_add_test(tcase, cipher_stops_before_its_nonces_end);
    tcase_add_test(tcase, cipher_rekeyed_on_both_sides_runs_on);
    tcase_add_test(tcase, cipher_carries_empty_and_largest_messages);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
