/* node_owners.c: whose each name is, so that it does not move to another server silently. The mesh
 * agrees on it as pairs, kept and read with those of node_curation.c:
 *
 *   owner/NAME    {"node": ID, "key": HEX | null, "at_ms": WALL}
 *
 * A node whose server is known as NAME, and that finds no record, writes one; the first that is
 * written counts. Only the owner node writes another replica key into it. Nothing but an operator's
 * word removes it (`servers release`). */
#include "node/json/json.h"
#include "node/node_inside.h"
#include "proto/base/check.h"
#include "proto/base/text.h"

#define PREFIX "owner/"
#define PREFIX_SIZE (sizeof PREFIX - 1)
#define TICKET_BIT (UINT64_C(1) << 62) /* tells our commands from the operator's side */
#define OWNERS_MAX 16384u              /* names with a record; no more are written then */
#define CLAIM_TIMEOUT (2 * MN_SEC)
#define RETRY (5 * MN_SEC)
#define AGAIN MN_SEC /* after a round that wrote something: whether all of it counts */

static const struct json_limits limits = {8, 1, 32};

struct node_owners {
    struct json_parser *parser;
    uint32_t count;   /* records that there are */
    bool is_known;    /* as the mesh has them, in this run */
    bool is_asking;   /* a command is under way, of this ticket */
    bool has_written; /* in this round */
    bool is_done;     /* nothing is to be written, as things are at [seen] */
    uint64_t ticket, seen;
    uint32_t at; /* offers of this node that were looked at in this round */
    mn_time next;
};

struct node_owners *node_owners_new(void)
{
    struct node_owners *owners = mn_alloc(sizeof *owners);

    owners->parser = json_parser_new();
    return owners;
}

void node_owners_free(struct node_owners *owners)
{
    if (owners == NULL) return;
    json_parser_free(owners->parser);
    mn_free(owners);
}

bool node_owners_is_key(struct mn_span key)
{
    return key.size > PREFIX_SIZE && memcmp(key.data, PREFIX, PREFIX_SIZE) == 0;
}

/* ---- reading ---- */

bool node_owners_read(struct json_parser *parser, struct mn_arena *arena,
                      const struct node_owners_pair *pair, struct services_owner *ret)
{
    static const char *const names[] = {"node", "key", "at_ms"};
    const struct json *json, *parts[3];
    int64_t at = 0;

    *ret = (struct services_owner){.rev = pair->rev};
    ret->name = mn_span(pair->key.data + PREFIX_SIZE, pair->key.size - PREFIX_SIZE);
    if (json_parse_copy(parser, pair->value, limits, arena, &json) != MN_OK ||
        json->type != JSON_OBJECT || json_pick(json, names, 3, parts) != MN_OK ||
        mn_id_parse(json_text(parts[0]), &ret->node) != MN_OK)
        return false;
    if (json_is(parts[1], JSON_STRING) &&
        mn_hex_decode(json_text(parts[1]), ret->key, sizeof ret->key) != MN_OK)
        return false;
    if (json_i64(parts[2], &at) == MN_OK && at > 0) ret->at_ms = (uint64_t)at;
    return true;
}

void node_owners_load(struct node *node, struct mn_now now, const struct node_owners_pair *pairs,
                      uint32_t count, bool is_read, struct edge_outbox *outbox)
{
    struct services_owner *items = mn_arena_alloc(&node->arena, count * sizeof *items);
    struct core_input input = {.type = CORE_IN_OWNERS};

    for (uint32_t i = 0; i < count; i++)
        input.owners.count += node_owners_read(node->owners->parser, &node->arena, &pairs[i],
                                               &items[input.owners.count]);
    input.owners.items = items;
    node->owners->count = count;
    node->owners->is_known = is_read;
    node_feeds_touch(node, now, NODE_MESH_TOOLS);
    node_step_core(node, now, &input, outbox);
}

/* ---- writing ---- */

struct mn_span node_owners_write(struct mn_arena *arena, struct mn_now now,
                                 const struct services_owner *owner)
{
    static const uint8_t no_key[CALL_KEY_SIZE];
    char id[MN_ID_TEXT_SIZE], key[2 * CALL_KEY_SIZE + 1] = "";
    bool has_key = memcmp(owner->key, no_key, sizeof no_key) != 0;

    mn_id_format(&owner->node, id);
    if (has_key) mn_hex_encode(mn_span(owner->key, sizeof owner->key), key);
    return mn_span_str(mn_arena_format(arena, "{\"node\":\"%s\",\"key\":%s%s%s,\"at_ms\":%llu}", id,
                                       has_key ? "\"" : "", has_key ? key : "null",
                                       has_key ? "\"" : "", (unsigned long long)mn_wall_ms(now)));
}

static void claim(struct node *node, struct mn_now now, const struct services_owner *owner,
                  struct edge_outbox *outbox)
{
    struct state_request request = {
        .type = STATE_COMMAND, .space = STATE_SPACE_CURATION, .timeout = CLAIM_TIMEOUT};

    request.command.verb = STRONG_PUT;
    request.command.key = mn_span_str(mn_arena_format(
        &node->arena, PREFIX "%.*s", (int)owner->name.size, (const char *)owner->name.data));
    request.command.value = node_owners_write(&node->arena, now, owner);
    request.command.has_if_rev = true;
    request.command.if_rev = owner->rev;
    request.ticket = ++node->owners->ticket | TICKET_BIT;
    node->owners->is_asking = node->owners->has_written = true;
    node_step_state(node, now, &(struct state_input){.type = STATE_IN_REQUEST, .request = &request},
                    outbox);
}

bool node_owners_on_answer(struct node *node, struct mn_now now, const struct state_answer *answer)
{
    struct node_owners *owners = node->owners;

    if ((answer->ticket & TICKET_BIT) == 0) return false;
    if (answer->ticket != (owners->ticket | TICKET_BIT)) return true;
    owners->is_asking = false;
    /* Done, or somebody else was first: either way there is something new to read. */
    if (answer->status == MN_OK) return true;
    owners->at = 0;
    owners->next = mn_time_after(now.mono, RETRY);
    return true;
}

/* A round is over. */
static void rest(struct node *node, struct mn_now now)
{
    struct node_owners *owners = node->owners;

    owners->at = 0;
    owners->is_done = !owners->has_written;
    if (owners->has_written) {
        owners->next = mn_time_after(now.mono, AGAIN);
        node_curation_touch(node);
    }
    owners->has_written = false;
}

static bool is_able(const struct node *node)
{
    return node->is_state_started && node->owners->is_known && !node->owners->is_asking &&
           !node->is_stopping && node->owners->count < OWNERS_MAX;
}

void node_owners_tick(struct node *node, struct mn_now now, struct edge_outbox *outbox)
{
    const struct services *services = core_services(node->core);
    struct node_owners *owners = node->owners;
    struct core_self self = core_self(node->core);
    struct services_owner wanted;

    if (services_changes(services) != owners->seen) {
        owners->seen = services_changes(services);
        owners->is_done = false;
        owners->at = 0;
    }
    if (!is_able(node) || owners->is_done || now.mono < owners->next || !self.is_ready) return;
    if (services_claim_next(services, &self.node_id, &owners->at, &wanted))
        claim(node, now, &wanted, outbox);
    else
        rest(node, now);
}

mn_time node_owners_deadline(const struct node *node)
{
    const struct node_owners *owners = node->owners;

    if (!is_able(node) || owners->is_done || !core_self(node->core).is_ready) return MN_TIME_NEVER;
    return owners->next;
}
