#include "tests/mesh/admission_world.h"

#include "proto/base/memory.h"

/* ---- life ---- */

struct world *world_new(void)
{
    struct world *world = mn_alloc(sizeof *world);
    uint8_t seed[RNG_SEED_SIZE] = {42};

    if (sodium_init() < 0) abort();
    rng_init(&world->rng, seed);
    world->now = (struct mn_now){MN_SEC, WORLD_WALL_START};
    world->last = &world->first;
    return world;
}

static void drop_messages(struct world *world)
{
    while (world->first != NULL) {
        struct world_message *message = world->first;
        world->first = message->next;
        mn_buf_unref(message->bytes);
        mn_free(message);
    }
    world->last = &world->first;
}

static void forget_store(struct world_node *node, uint32_t count)
{
    while (node->stored_count > count) {
        struct stored *entry = &node->store[--node->stored_count];
        mn_buf_unref(entry->key);
        mn_buf_unref(entry->value);
    }
    if (node->durable_count > count) node->durable_count = count;
}

static void drop_held(struct world_node *node)
{
    mn_arena_reset(&node->held_arena);
    node->held = (struct admission_outbox){.arena = &node->held_arena};
}

void world_free(struct world *world)
{
    drop_messages(world);
    for (unsigned i = 0; i < world->nodes_count; i++) {
        struct world_node *node = &world->nodes[i];
        admission_free(node->admission);
        forget_store(node, 0);
        mn_arena_done(&node->held_arena);
    }
    mn_free(world);
}

unsigned world_add(struct world *world, const char *name)
{
    struct world_node *node = &world->nodes[world->nodes_count];
    uint8_t seed[IDENTITY_SEED_SIZE] = {(uint8_t)(world->nodes_count + 1), 0x77};

    ck_assert_uint_lt(world->nodes_count, WORLD_NODES_MAX);
    identity_init(&node->identity, seed);
    strcpy(node->name, name);
    node->held.arena = &node->held_arena;
    return world->nodes_count++;
}

static struct mn_now node_now(const struct world *world, const struct world_node *node)
{
    struct mn_now now = world->now;

    now.wall += (mn_time)(node->clock_ms * (int64_t)MN_MS);
    return now;
}

void world_start(struct world *world, unsigned number)
{
    struct world_node *node = &world->nodes[number];
    struct admission_config config = {.self = &node->identity,
                                      .name = node->name,
                                      .region = "",
                                      .role = node->role,
                                      .dev = node->dev,
                                      .grant_ttl_ms = AUTHORITY_TTL_DEFAULT_MS,
                                      .memory_max = 1 << 20};
    struct admission_input input = {.type = ADMISSION_IN_RECOVER};

    ck_assert_ptr_null(node->admission);
    rng_bytes(&world->rng, config.seed, sizeof config.seed);
    node->admission = admission_new(&config);
    for (uint32_t i = 0; i < node->stored_count; i++) {
        bool is_newest = node->store[i].value != NULL;
        for (uint32_t j = i + 1; j < node->stored_count; j++)
            if (mn_span_equal(mn_buf_span(node->store[i].key), mn_buf_span(node->store[j].key)))
                is_newest = false;
        if (!is_newest) continue;
        input.recover.key = mn_buf_span(node->store[i].key);
        input.recover.value = mn_buf_span(node->store[i].value);
        world_step(world, number, &input);
    }
    world_step(world, number, &(struct admission_input){.type = ADMISSION_IN_RECOVERED});
}

static void cut_links_of(struct world *world, unsigned node)
{
    for (unsigned i = 0; i < world->links_count; i++) {
        struct world_link *link = &world->links[i];
        if (link->id != 0 && (link->ends[0] == node || link->ends[1] == node))
            world_cut(world, link->id);
    }
}

void world_crash(struct world *world, unsigned number)
{
    struct world_node *node = &world->nodes[number];

    admission_free(node->admission);
    node->admission = NULL;
    forget_store(node, node->durable_count);
    drop_held(node);
    cut_links_of(world, number);
}

void world_lose_disk(struct world *world, unsigned number)
{
    world_crash(world, number);
    forget_store(&world->nodes[number], 0);
}

enum admission_state world_state(const struct world *world, unsigned node)
{
    return admission_state(world->nodes[node].admission);
}

/* ---- outputs ---- */

static void queue_message(struct world *world, unsigned to, uint64_t link, struct mn_span bytes,
                          bool is_close)
{
    struct world_message *message = mn_alloc(sizeof *message);

    message->to = to;
    message->link = link;
    message->is_close = is_close;
    message->bytes = mn_buf_copy(bytes);
    *world->last = message;
    world->last = &message->next;
}

static unsigned other_end(const struct world_link *link, unsigned node)
{
    return link->ends[link->ends[0] == node];
}

static void on_persist(struct world_node *node, const struct admission_output *output)
{
    struct stored *entry = &node->store[node->stored_count];

    ck_assert_uint_lt(node->stored_count, WORLD_STORE_MAX);
    entry->key = mn_buf_copy(output->persist.key);
    entry->value = output->persist.is_delete ? NULL : mn_buf_copy(output->persist.value);
    node->stored_count++;
}

static void copy_text(char *to, size_t size, struct mn_span text)
{
    ck_assert_uint_lt(text.size, size);
    if (text.size > 0) memcpy(to, text.data, text.size);
    to[text.size] = '\0';
}

static void on_secret(struct world_node *node, const struct admission_output *output)
{
    if (output->secret.what == ADMISSION_SECRET_ROOT_KEY) {
        ck_assert_uint_eq(output->secret.bytes.size, 32);
        node->has_root_key = true;
    } else if (output->secret.bytes.size == 0) {
        node->join_token[0] = '\0';
    } else {
        copy_text(node->join_token, sizeof node->join_token, output->secret.bytes);
    }
}

static void on_tokens(struct world_node *node, const struct admission_output *output)
{
    ck_assert_uint_le(output->tokens.count, 8);
    node->token_status = output->tokens.status;
    node->rows_count = output->tokens.count;
    memcpy(node->rows, output->tokens.items, output->tokens.count * sizeof node->rows[0]);
}

static void on_pending(struct world_node *node, const struct admission_output *output)
{
    ck_assert_uint_le(output->pending.count, ADMISSION_PENDING_MAX);
    node->pending_status = output->pending.status;
    node->pending_count = output->pending.count;
    if (output->pending.count > 0)
        memcpy(node->pending, output->pending.items,
               output->pending.count * sizeof node->pending[0]);
}

static void on_send(struct world *world, unsigned number, const struct admission_output *output)
{
    struct world_link *link = world_find_link(world, output->send.link);

    if (output->send.refused != 0) world->nodes[number].refusals_sent++;
    if (link != NULL)
        queue_message(world, other_end(link, number), link->id, output->send.bytes, false);
}

static void do_output(struct world *world, unsigned number, const struct admission_output *output)
{
    struct world_node *node = &world->nodes[number];
    struct world_link *link;

    switch (output->type) {
    case ADMISSION_OUT_PERSIST: on_persist(node, output); break;
    case ADMISSION_OUT_SECRET: on_secret(node, output); break;
    case ADMISSION_OUT_SEND: on_send(world, number, output); break;
    case ADMISSION_OUT_CLOSE:
        link = world_find_link(world, output->close.link);
        if (link != NULL)
            queue_message(world, other_end(link, number), link->id, mn_span(NULL, 0), true);
        break;
    case ADMISSION_OUT_ADMITTED: node->admitted++; break;
    case ADMISSION_OUT_JOINED: node->joined++; break;
    case ADMISSION_OUT_RENEWED: node->renewed++; break;
    case ADMISSION_OUT_FAILED: node->failed = output->failed.code; break;
    case ADMISSION_OUT_TOKEN:
        node->token_status = output->token.status;
        node->row = output->token.token;
        copy_text(node->token, sizeof node->token, output->token.text);
        break;
    case ADMISSION_OUT_TOKENS: on_tokens(node, output); break;
    case ADMISSION_OUT_WAITS: node->waits++; break;
    case ADMISSION_OUT_PENDING: on_pending(node, output); break;
    case ADMISSION_OUT_ITEM: break; /* the trust set is not in this world */
    }
}

static struct mn_span keep(struct mn_arena *arena, struct mn_span bytes)
{
    return bytes.size == 0 ? bytes : mn_arena_copy(arena, bytes);
}

static void hold_output(struct world_node *node, const struct admission_output *output)
{
    struct admission_outbox *held = &node->held;
    struct admission_output copy = *output;

    if (copy.type == ADMISSION_OUT_SEND) copy.send.bytes = keep(held->arena, copy.send.bytes);
    if (copy.type == ADMISSION_OUT_ADMITTED)
        copy.admitted.grant = keep(held->arena, copy.admitted.grant);
    if (copy.type == ADMISSION_OUT_PENDING && copy.pending.count > 0) {
        size_t size = copy.pending.count * sizeof *copy.pending.items;
        copy.pending.items = memcpy(mn_arena_alloc(held->arena, size), copy.pending.items, size);
    }
    if (copy.type == ADMISSION_OUT_TOKEN) copy.token.text = keep(held->arena, copy.token.text);
    if (held->count == held->capacity)
        held->items = mn_arena_grow(held->arena, held->items, held->count, &held->capacity,
                                    sizeof held->items[0]);
    held->items[held->count++] = copy;
}

void world_sync(struct world *world, unsigned number)
{
    struct world_node *node = &world->nodes[number];

    node->durable_count = node->stored_count;
    for (uint32_t i = 0; i < node->held.count; i++)
        do_output(world, number, &node->held.items[i]);
    drop_held(node);
}

void world_step(struct world *world, unsigned number, const struct admission_input *input)
{
    struct world_node *node = &world->nodes[number];
    struct mn_arena arena = {0};
    struct admission_outbox outbox = {.arena = &arena};

    ck_assert_ptr_nonnull(node->admission);
    admission_step(node->admission, node_now(world, node), input, &outbox);
    admission_check(node->admission);
    for (uint32_t i = 0; i < outbox.count; i++) {
        if (outbox.items[i].after_write)
            hold_output(node, &outbox.items[i]);
        else
            do_output(world, number, &outbox.items[i]);
    }
    if (!node->store_is_slow) world_sync(world, number);
    mn_arena_done(&arena);
}

/* ---- links ---- */

struct world_link *world_find_link(struct world *world, uint64_t id)
{
    return id == 0 || id > world->links_count || world->links[id - 1].id == 0
               ? NULL
               : &world->links[id - 1];
}

static bool link_up(struct world *world, const struct world_link *link, unsigned end)
{
    unsigned self = link->ends[end], peer = link->ends[!end];
    const struct world_node *node = &world->nodes[self], *other = &world->nodes[peer];
    bool self_in = admission_hello(node->admission) == ADMISSION_HELLO_MEMBER;
    bool peer_in = admission_hello(other->admission) == ADMISSION_HELLO_MEMBER;
    struct admission_input input = {.type = ADMISSION_IN_LINK_UP};

    if (!self_in && !peer_in) return false;
    input.link_up = (struct admission_link){
        .link = link->id,
        .kind = self_in && peer_in ? ADMISSION_LINK_MEMBER
                : self_in          ? ADMISSION_LINK_GUEST
                                   : ADMISSION_LINK_SPONSOR,
        .node_id = other->identity.node_id,
        .mesh_id = admission_mesh_id(other->admission),
        .grant = admission_grant_bytes(other->admission),
        .wall_ms = mn_wall_ms(node_now(world, other)),
        .address = mn_span_str(other->address),
    };
    memcpy(input.link_up.sign_pk, other->identity.key.pk, SIGN_PK_SIZE);
    memcpy(input.link_up.noise_pk, other->identity.noise_pk, IDENTITY_NOISE_SIZE);
    memcpy(input.link_up.handshake, link->handshake, sizeof link->handshake);
    if (peer_in)
        memcpy(input.link_up.pin, authority_pin(admission_authority(other->admission)),
               DIGEST_PIN_SIZE);
    world_step(world, self, &input);
    return true;
}

uint64_t world_connect(struct world *world, unsigned dialer, unsigned acceptor)
{
    struct world_link *link = &world->links[world->links_count];

    ck_assert_uint_lt(world->links_count, WORLD_LINKS_MAX);
    link->ends[0] = dialer;
    link->ends[1] = acceptor;
    rng_bytes(&world->rng, link->handshake, sizeof link->handshake);
    link->id = ++world->links_count;
    if (!link_up(world, link, 1)) {
        link->id = 0;
        return 0;
    }
    link_up(world, link, 0);
    return link->id;
}

void world_cut(struct world *world, uint64_t id)
{
    struct world_link *link = world_find_link(world, id);
    struct admission_input input = {.type = ADMISSION_IN_LINK_DOWN, .link_down = {id}};

    if (link == NULL) return;
    link->id = 0;
    for (unsigned i = 0; i < 2; i++)
        if (world->nodes[link->ends[i]].admission != NULL) world_step(world, link->ends[i], &input);
}

/* ---- time ---- */

static void deliver(struct world *world, struct world_message *message)
{
    struct admission_input input = {.type = ADMISSION_IN_MESSAGE};

    if (world_find_link(world, message->link) == NULL) return;
    if (message->is_close) {
        world_cut(world, message->link);
        return;
    }
    if (world->filter != NULL && !world->filter(message, world->filter_context)) return;
    input.message.link = message->link;
    input.message.bytes = mn_buf_span(message->bytes);
    world_step(world, message->to, &input);
}

void world_settle(struct world *world)
{
    unsigned delivered = 0;

    while (world->first != NULL) {
        struct world_message *message = world->first;
        world->first = message->next;
        if (world->first == NULL) world->last = &world->first;
        ck_assert_uint_lt(delivered++, 10000); /* they would talk for ever */
        deliver(world, message);
        mn_buf_unref(message->bytes);
        mn_free(message);
    }
}

static mn_time next_deadline(const struct world *world, unsigned *ret_node)
{
    mn_time next = MN_TIME_NEVER;

    for (unsigned i = 0; i < world->nodes_count; i++) {
        mn_time at = world->nodes[i].admission == NULL
                         ? MN_TIME_NEVER
                         : admission_deadline(world->nodes[i].admission);
        if (at >= next) continue;
        next = at;
        *ret_node = i;
    }
    return next;
}

static void advance(struct world *world, mn_time to)
{
    if (to <= world->now.mono) return;
    world->now.wall += to - world->now.mono;
    world->now.mono = to;
}

void world_run(struct world *world, mn_time duration)
{
    mn_time end = world->now.mono + duration;
    unsigned node = 0;

    world_settle(world);
    for (mn_time at = next_deadline(world, &node); at <= end; at = next_deadline(world, &node)) {
        advance(world, at);
        world_step(world, node, &(struct admission_input){.type = ADMISSION_IN_TICK});
        world_settle(world);
    }
    advance(world, end);
}

/* ---- inputs ---- */

void world_found(struct world *world, unsigned node, const char *token)
{
    struct admission_input input = {.type = ADMISSION_IN_FOUND};

    input.found.token = mn_span_str(token);
    world_step(world, node, &input);
}

void world_join(struct world *world, unsigned node, const char *token, bool is_known)
{
    struct admission_input input = {.type = ADMISSION_IN_JOIN};

    input.join.token = mn_span_str(token);
    input.join.seeds_count = 1;
    input.join.is_known = is_known;
    world_step(world, node, &input);
}

void world_tell(struct world *world, unsigned issuer, unsigned about, bool is_live)
{
    struct admission_input input = {.type = ADMISSION_IN_PEER};

    input.peer.node_id = world->nodes[about].identity.node_id;
    input.peer.is_live = is_live;
    if (world->nodes[about].admission != NULL)
        input.peer.grant = admission_grant_bytes(world->nodes[about].admission);
    world_step(world, issuer, &input);
}

const char *world_token(struct world *world, unsigned issuer, uint32_t uses, uint64_t ttl_ms,
                        grant_role role)
{
    struct admission_input input = {.type = ADMISSION_IN_TOKEN_CREATE};

    input.token_create.request = 7;
    input.token_create.uses = uses;
    input.token_create.ttl_ms = ttl_ms;
    input.token_create.role_max = role;
    world_step(world, issuer, &input);
    return world->nodes[issuer].token;
}
