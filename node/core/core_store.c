/* core_store.c: what survives a restart, and what waits until it does. */
#include <sodium.h>

#include "node/core/core_internal.h"
#include "proto/base/check.h"

#define KEY_INCARNATION "self/incarnation"
#define PREFIX_TRUST "trust/"
#define PREFIX_SET "set/"
#define PREFIX_MEMBER "member/"
#define KNOWN_MAX 16384 /* members whose addresses are kept */

/* ---- writing ---- */

void core_write(struct core *core, const char *key, struct mn_span value)
{
    struct core_output *output = core_emit(core, CORE_OUT_WRITE);

    core->write_last = ++*core->config.writes_count;
    output->write.number = core->write_last;
    output->write.key = mn_arena_copy(core->arena, mn_span_str(key));
    output->write.value = value.data == NULL ? mn_span(NULL, 0) : mn_arena_copy(core->arena, value);
}

/* ---- parking ---- */

static struct core_parked *core_park(struct core *core)
{
    struct core_parked *parked = mn_alloc(sizeof *parked);

    parked->write = core->write_last;
    mn_list_push_back(&core->parked, &parked->in_parked);
    return parked;
}

/* Points the output's spans to copies in its own arena. */
static void core_park_copy(struct core_parked *parked)
{
    struct admission_output *output = &parked->output;
    struct mn_arena *arena = &parked->arena;

    switch (output->type) {
    case ADMISSION_OUT_SECRET:
        output->secret.bytes = mn_arena_copy(arena, output->secret.bytes);
        return;
    case ADMISSION_OUT_SEND: output->send.bytes = mn_arena_copy(arena, output->send.bytes); return;
    case ADMISSION_OUT_ADMITTED:
        output->admitted.grant = mn_arena_copy(arena, output->admitted.grant);
        return;
    case ADMISSION_OUT_TOKEN: output->token.text = mn_arena_copy(arena, output->token.text); return;
    case ADMISSION_OUT_TOKENS: {
        size_t size = output->tokens.count * sizeof *output->tokens.items;
        struct admission_token *items = mn_arena_alloc(arena, size);
        if (size > 0) memcpy(items, output->tokens.items, size);
        output->tokens.items = items;
        return;
    }
    case ADMISSION_OUT_PENDING: {
        size_t size = output->pending.count * sizeof *output->pending.items;
        struct admission_pending_row *items = mn_arena_alloc(arena, size);
        if (size > 0) memcpy(items, output->pending.items, size);
        output->pending.items = items;
        return;
    }
    case ADMISSION_OUT_WAITS:
    case ADMISSION_OUT_PERSIST:
    case ADMISSION_OUT_ITEM:
    case ADMISSION_OUT_CLOSE:
    case ADMISSION_OUT_JOINED:
    case ADMISSION_OUT_RENEWED:
    case ADMISSION_OUT_FAILED: return;
    }
}

void core_wipe(struct mn_span secret)
{
    union {
        const uint8_t *in;
        void *out;
    } pointer = {.in = secret.data};

    if (secret.size > 0) sodium_memzero(pointer.out, secret.size);
}

static void core_unpark(struct core_parked *parked)
{
    if (parked->output.type == ADMISSION_OUT_SECRET) core_wipe(parked->output.secret.bytes);
    if (parked->output.type == ADMISSION_OUT_TOKEN) core_wipe(parked->output.token.text);
    mn_list_remove(&parked->in_parked);
    mn_arena_done(&parked->arena);
    mn_free(parked);
}

void core_parked_done(struct core *core)
{
    MN_LIST_FOR_EACH_SAFE (link, &core->parked)
        core_unpark(MN_CONTAINER(link, struct core_parked, in_parked));
}

void core_park_admission(struct core *core, const struct admission_output *output)
{
    struct core_parked *parked;

    if (core->write_last <= core->durable) {
        core_do_admission(core, output);
        return;
    }
    parked = core_park(core);
    parked->output = *output;
    core_park_copy(parked);
}

void core_park_revoked(struct core *core, uint64_t request, mn_status status)
{
    struct core_parked *parked = core_park(core);

    parked->what = CORE_PARKED_REVOKED;
    parked->request = request;
    parked->status = status;
}

void core_park_incarnation(struct core *core, uint64_t incarnation, bool is_reborn)
{
    struct core_parked *parked;
    uint8_t value[sizeof incarnation];

    mn_store_u64(value, incarnation);
    core_write(core, KEY_INCARNATION, mn_span(value, sizeof value));
    parked = core_park(core);
    parked->what = CORE_PARKED_INCARNATION;
    parked->incarnation = incarnation;
    parked->is_reborn = is_reborn;
}

void core_on_durable(struct core *core, uint64_t write)
{
    if (write > core->durable) core->durable = write;
    core_decision_durable(core, core->durable);
    while (!mn_list_is_empty(&core->parked)) {
        struct core_parked *parked = MN_CONTAINER(core->parked.next, struct core_parked, in_parked);
        if (parked->write > core->durable) return;
        switch (parked->what) {
        case CORE_PARKED_INCARNATION:
            core_on_persisted(core, parked->incarnation, parked->is_reborn);
            break;
        case CORE_PARKED_ADMISSION: core_do_admission(core, &parked->output); break;
        case CORE_PARKED_REVOKED:
            core_reply_status(core, parked->request, parked->status, mn_span(NULL, 0));
            break;
        }
        core_run(core); /* inputs may point into what is freed now */
        core_unpark(parked);
    }
}

/* ---- other members' addresses ---- */

struct core_known *core_known_find(const struct core *core, const mn_id *node)
{
    struct mn_map_entry *found = mn_map_find(&core->known, mn_span(node->bytes, sizeof *node));
    return found == NULL ? NULL : MN_CONTAINER(found, struct core_known, in_map);
}

static const char *core_known_key(struct core *core, const mn_id *node)
{
    char text[MN_ID_TEXT_SIZE];
    return mn_arena_format(core->arena, PREFIX_MEMBER "%s", mn_id_format(node, text));
}

static struct core_known *core_known_add(struct core *core, const mn_id *node)
{
    struct core_known *known = mn_alloc(sizeof *known);

    known->node = *node;
    mn_map_insert(&core->known, &known->in_map, mn_span(known->node.bytes, sizeof known->node));
    return known;
}

bool core_known_set(struct core *core, const mn_id *node, const struct mn_span *addrs,
                    uint32_t count)
{
    struct core_known *known = core_known_find(core, node);
    struct mn_writer writer = {0};
    struct mn_buf *text;

    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) mn_writer_str(&writer, "\n");
        mn_writer_add(&writer, addrs[i]);
    }
    text = mn_writer_done(&writer);
    if (known == NULL && core->known.count < KNOWN_MAX) known = core_known_add(core, node);
    if (known == NULL ||
        (known->addrs != NULL && mn_span_equal(mn_buf_span(known->addrs), mn_buf_span(text)))) {
        mn_buf_unref(text);
        return false;
    }
    mn_buf_unref(known->addrs);
    known->addrs = text;
    core_write(core, core_known_key(core, node), mn_buf_span(text));
    return true;
}

static void core_known_remove(struct core *core, struct core_known *known)
{
    mn_map_remove(&core->known, &known->in_map);
    mn_buf_unref(known->addrs);
    mn_free(known);
}

void core_known_forget(struct core *core, const mn_id *node)
{
    struct core_known *known = core_known_find(core, node);

    if (known == NULL) return;
    core_write(core, core_known_key(core, node), mn_span(NULL, 0));
    core_known_remove(core, known);
}

void core_known_done(struct core *core)
{
    struct mn_map_entry *entry;

    while ((entry = mn_map_next(&core->known, NULL)) != NULL)
        core_known_remove(core, MN_CONTAINER(entry, struct core_known, in_map));
    mn_map_done(&core->known);
}

uint32_t core_known_addrs(const struct core_known *known, struct mn_span *ret, uint32_t max)
{
    struct mn_span rest = mn_buf_span(known->addrs);
    uint32_t count = 0;

    while (rest.size > 0 && count < max) {
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        size_t size = end == NULL ? rest.size : (size_t)(end - rest.data);
        if (size > 0) ret[count++] = mn_span(rest.data, size);
        size += end == NULL ? 0 : 1;
        rest = mn_span(rest.data + size, rest.size - size);
    }
    return count;
}

/* ---- recovering ---- */

/* What comes after [prefix] in [key]; empty when it does not begin with it. */
static struct mn_span core_after(struct mn_span key, const char *prefix)
{
    size_t size = strlen(prefix);

    if (key.size <= size || memcmp(key.data, prefix, size) != 0) return mn_span(NULL, 0);
    return mn_span(key.data + size, key.size - size);
}

static void core_recover_member(struct core *core, struct mn_span name, struct mn_span value)
{
    struct core_known *known;
    mn_id node;

    if (mn_id_parse(name, &node) != MN_OK || core->known.count >= KNOWN_MAX) return;
    if (core_known_find(core, &node) != NULL) return;
    known = core_known_add(core, &node);
    known->addrs = mn_buf_copy(value);
}

/* Keys of others, or of a newer version, are left alone. */
void core_on_recover(struct core *core, struct mn_span key, struct mn_span value)
{
    struct mn_span trust = core_after(key, PREFIX_TRUST);
    struct mn_span member = core_after(key, PREFIX_MEMBER);
    struct mn_span set = core_after(key, PREFIX_SET);
    struct admission_input *input;
    struct trustset_input *item;

    if (core->state != CORE_RECOVERING || core_decision_recover(core, key, value)) return;
    if (trust.size > 0) {
        input = core_push_admission(core, ADMISSION_IN_RECOVER);
        input->recover.key = trust;
        input->recover.value = value;
    } else if (set.size > 0) {
        item = core_push_trustset(core, TRUSTSET_IN_RECOVER, NULL);
        item->key = set;
        item->value = value;
    } else if (member.size > 0) {
        core_recover_member(core, member, value);
    } else if (mn_span_is(key, KEY_INCARNATION) && value.size == sizeof(uint64_t)) {
        core->incarnation = mn_load_u64(value.data);
    }
}

void core_on_recovered(struct core *core)
{
    if (core->state != CORE_RECOVERING) return;
    core_push_admission(core, ADMISSION_IN_RECOVERED);
    core_run(core);
    if (core->state == CORE_RECOVERING) core_begin(core);
}
