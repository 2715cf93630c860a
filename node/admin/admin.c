/* Exchanges from their first byte to their last, and who may do what. */
#include "node/admin/admin.h"

#include "node/admin/admin_internal.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"

/* ---- one exchange ---- */

static struct mn_span id_key(const uint64_t *id)
{
    return mn_span(id, sizeof *id);
}

static struct admin_exchange *exchange_find(struct admin *admin, uint64_t id)
{
    struct mn_map_entry *entry = mn_map_find(&admin->exchanges, id_key(&id));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct admin_exchange, by_id);
}

static void exchange_free(struct admin *admin, struct admin_exchange *exchange)
{
    mn_map_remove(&admin->exchanges, &exchange->by_id);
    admin_drop_ticket(admin, &exchange->ticket);
    admin_bundle_free(admin, exchange->bundle);
    admin_stream_end(admin, exchange);
    mn_writer_drop(&exchange->body);
    mn_buf_unref(exchange->answer);
    mn_free(exchange->path);
    mn_free(exchange);
}

void admin_over(struct admin_request *request)
{
    if (request->exchange != NULL) exchange_free(request->admin, request->exchange);
    request->exchange = NULL;
}

static bool is_json(struct mn_span content_type)
{
    static const char name[] = "application/json";

    if (content_type.size < sizeof name - 1) return false;
    for (size_t i = 0; i < sizeof name - 1; i++)
        if ((content_type.data[i] | 0x20) != (name[i] | 0x20)) return false;
    return content_type.size == sizeof name - 1 || content_type.data[sizeof name - 1] == ';' ||
           content_type.data[sizeof name - 1] == ' ';
}

static struct admin_exchange *exchange_new(struct admin *admin, const struct edge_input *input)
{
    const struct edge_http_request *http = input->http;
    struct admin_exchange *exchange = mn_alloc(sizeof *exchange);
    char *mark;

    exchange->id = input->id;
    mn_list_init(&exchange->follower);
    exchange->path = mn_alloc(http->target.size + 1);
    if (http->target.size > 0) memcpy(exchange->path, http->target.data, http->target.size);
    mark = strchr(exchange->path, '?');
    if (mark != NULL) *mark = '\0';
    exchange->query = mark != NULL ? mark + 1 : exchange->path + http->target.size;
    if (http->method.size < sizeof exchange->method && http->method.size > 0)
        memcpy(exchange->method, http->method.data, http->method.size);
    exchange->is_admin = http->listener == EDGE_LISTENER_ADMIN;
    exchange->has_type = guard_header(http, "content-type").data != NULL;
    exchange->is_json = is_json(guard_header(http, "content-type"));
    mn_map_insert(&admin->exchanges, &exchange->by_id, id_key(&exchange->id));
    return exchange;
}

/* ---- what happens to it ---- */

/* Probes of load balancers have whatever Host they like, and learn nothing. */
static bool is_probe(struct mn_span target)
{
    return mn_span_is(target, "/healthz") || mn_span_is(target, "/readyz");
}

static bool is_for_operators(struct mn_span target)
{
    return target.size >= 4 && memcmp(target.data, "/v1/", 4) == 0;
}

/* Over HTTP nobody learns which paths of /v1 there are without being let in. False: refused. */
static bool admin_judge(struct admin_request *request, const struct edge_http_request *http,
                        enum guard_role *role, mn_id *principal)
{
    struct admin *admin = request->admin;
    enum guard_verdict verdict = guard_judge(admin->guard, request->now, http, role, principal);
    bool is_open = admin->config.is_dev && http->is_loopback;

    if (verdict == GUARD_IN_QUERY) {
        admin_fail_text(request, 400, "bad_request",
                        "a secret stands in the URL, where logs and histories keep it: revoke it",
                        "send it as Authorization: Bearer, or meshctl --token-file FILE");
        return false;
    }
    if (is_open && *role < GUARD_ADMIN) *role = GUARD_ADMIN;
    if (!is_for_operators(http->target) || is_open) return true;
    if (verdict == GUARD_TOO_OFTEN)
        admin_fail_text(request, 429, "throttled",
                        "too many wrong secrets from this address: wait a minute",
                        "meshctl token ls, on the node's own host");
    else if (*role == GUARD_NOBODY)
        admin_fail_text(
            request, 401, "not_allowed",
            guard_header(http, "authorization").size == 0
                ? "/v1 over HTTP needs an API token"
                : "this node knows no such API token: it ended, or another node made it",
            "on the node's own host: meshctl token create --role viewer");
    else if (*role == GUARD_CLIENT)
        admin_fail_text(request, 403, "not_allowed", "this secret is for /mcp only",
                        "on the node's own host: meshctl token create --role viewer");
    else
        return true;
    return false;
}

static void admin_on_open(struct admin_request *request, const struct edge_input *input)
{
    struct admin *admin = request->admin;
    const struct edge_http_request *http = input->http;
    const char *refusal = is_probe(http->target) ? NULL : guard_refusal(admin->guard, http);
    enum guard_role role = GUARD_NOBODY;
    mn_id principal = {{0}};

    if (exchange_find(admin, input->id) != NULL) return; /* ids are never used twice */
    if (refusal != NULL) {
        admin_fail_text(request, 403, "not_allowed", refusal, "meshnode check: see http.hosts");
        return;
    }
    if (!admin_judge(request, http, &role, &principal)) return;
    if (http->target.size > ADMIN_PATH_MAX)
        admin_fail_text(request, 414, "bad_request", "the path is too long", "see docs/API.md");
    else if (admin->exchanges.count >= ADMIN_EXCHANGES_MAX)
        admin_fail_text(request, 503, "busy", "too many requests at once", "try again in a moment");
    else
        request->exchange = exchange_new(admin, input);
    if (request->exchange == NULL) return;
    request->exchange->role = role;
    if (guard_has_token(admin->guard, request->now, &principal))
        request->exchange->token = principal;
}

static void admin_on_body(struct admin_request *request, const struct edge_input *input)
{
    struct admin_exchange *exchange = request->exchange;

    if (exchange->route != NULL) return; /* it is being answered already */
    if (mn_writer_size(&exchange->body) + input->bytes.size > ADMIN_BODY_MAX) {
        admin_fail_text(request, 413, "too_big", "the body is over 256 KiB", "see docs/API.md");
        return;
    }
    mn_writer_add(&exchange->body, input->bytes);
    if (input->is_last) admin_dispatch(request);
}

static void admin_on_edge(struct admin_request *request, const struct edge_input *input)
{
    if (input->type == EDGE_IN_ROOT_KEY) {
        request->admin->has_root_key = input->code != 0;
        return;
    }
    request->id = input->id;
    if (input->type == EDGE_IN_HTTP_OPEN) {
        admin_on_open(request, input);
        return;
    }
    request->exchange = exchange_find(request->admin, input->id);
    if (request->exchange == NULL) return; /* the gateway's, or over */
    if (input->type == EDGE_IN_HTTP_BODY)
        admin_on_body(request, input);
    else if (input->type == EDGE_IN_HTTP_WRITABLE)
        request->exchange->queued = 0;
    else if (input->type == EDGE_IN_HTTP_GONE)
        admin_over(request);
}

/* ---- asking others ---- */

void admin_drop_ticket(struct admin *admin, struct admin_ticket *ticket)
{
    if (ticket->number != 0) mn_map_remove(&admin->tickets, &ticket->by_number);
    ticket->number = 0;
}

static struct admin_output *admin_emit(struct admin_request *request, struct admin_ticket *ticket,
                                       enum admin_output_type type)
{
    struct admin_outbox *outbox = request->outbox;

    admin_drop_ticket(request->admin, ticket); /* an older question's answer is not waited for */
    ticket->number = ++request->admin->ticket_next;
    ticket->exchange = request->exchange;
    mn_map_insert(&request->admin->tickets, &ticket->by_number, id_key(&ticket->number));
    outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count, &outbox->capacity,
                                  sizeof *outbox->items);
    outbox->items[outbox->count] = (struct admin_output){.type = type};
    return &outbox->items[outbox->count++];
}

void admin_ask_gateway(struct admin_request *request, struct admin_gateway_request gateway)
{
    struct admin_output *output =
        admin_emit(request, &request->exchange->ticket, ADMIN_OUT_GATEWAY);

    MN_ASSERT(request->exchange->route->on_gateway != NULL);
    gateway.ticket = request->exchange->ticket.number;
    output->gateway = gateway;
}

void admin_ask_core(struct admin_request *request, struct core_command command)
{
    struct admin_output *output =
        admin_emit(request, &request->exchange->ticket, ADMIN_OUT_COMMAND);

    MN_ASSERT(request->exchange->route->on_core != NULL);
    command.request = request->exchange->ticket.number;
    output->command = command;
}

void admin_ask_state_as(struct admin_request *request, struct admin_ticket *ticket,
                        struct state_request state)
{
    struct admin_output *output = admin_emit(request, ticket, ADMIN_OUT_STATE);

    MN_ASSERT(request->exchange->route->on_state != NULL);
    state.ticket = ticket->number;
    output->state = state;
}

void admin_ask_state(struct admin_request *request, struct state_request state)
{
    admin_ask_state_as(request, &request->exchange->ticket, state);
}

/* Finds who waits for [number]; false: it went away meanwhile. */
static bool admin_find_ticket(struct admin_request *request, uint64_t number)
{
    struct mn_map_entry *entry = mn_map_find(&request->admin->tickets, id_key(&number));

    if (entry == NULL) return false;
    request->ticket = MN_CONTAINER(entry, struct admin_ticket, by_number);
    admin_drop_ticket(request->admin, request->ticket);
    request->exchange = request->ticket->exchange;
    request->id = request->exchange->id;
    return true;
}

/* ---- the store ---- */

bool admin_is_key(struct mn_span key)
{
    struct mn_span prefix = mn_span_str(ADMIN_KEY_PREFIX);
    return key.size > prefix.size && memcmp(key.data, prefix.data, prefix.size) == 0;
}

void admin_store(struct admin_request *request, const char *key, struct mn_span value)
{
    struct edge_outbox *edge = request->outbox->edge;
    struct edge_output *write =
        edge_emit(edge, EDGE_OUT_WRITE, ++*request->admin->config.writes_count);

    write->key = mn_arena_copy(edge->arena, mn_span_str(key));
    if (value.data != NULL) write->bytes = mn_arena_copy(edge->arena, value);
}

/* Answers whoever waited for that write, or for one before it. */
static void admin_on_durable(struct admin_request *request, uint64_t write)
{
    struct mn_map_entry *entry = mn_map_next(&request->admin->exchanges, NULL);

    while (entry != NULL) {
        struct mn_map_entry *next = mn_map_next(&request->admin->exchanges, entry);
        request->exchange = MN_CONTAINER(entry, struct admin_exchange, by_id);
        request->id = request->exchange->id;
        if (request->exchange->answer != NULL && request->exchange->write <= write)
            admin_answer_written(request);
        entry = next;
    }
    request->exchange = NULL;
}

/* ---- the core ---- */

struct admin *admin_new(const struct admin_config *config)
{
    struct admin *admin = mn_alloc(sizeof *admin);
    struct mn_span listen = config->http_listen;

    admin->config = *config;
    admin->http_listen = mn_alloc(listen.size + 1);
    if (listen.size > 0) memcpy(admin->http_listen, listen.data, listen.size);
    admin->config.http_listen = mn_span_str(admin->http_listen);
    admin->settings = mn_buf_copy(config->settings.size > 0 ? config->settings : mn_span_str("[]"));
    if (config->guard == NULL)
        admin->own_guard = guard_new(config->hosts, config->hosts_count, NULL, 0);
    admin->guard = config->guard != NULL ? config->guard : admin->own_guard;
    rng_init(&admin->rng, config->seed != NULL ? config->seed : (const uint8_t[RNG_SEED_SIZE]){0});
    if (config->writes_count == NULL) admin->config.writes_count = &admin->writes_own;
    mn_map_init(&admin->exchanges, 0); /* its keys are the driver's own numbers */
    mn_map_init(&admin->tickets, 0);   /* and these are ours */
    mn_list_init(&admin->followers);
    admin->poll_at = admin->judge_at = MN_TIME_NEVER;
    admin->parser = json_parser_new();
    json_parser_be_strict(admin->parser);
    admin->events = mn_alloc(ADMIN_EVENTS_MAX * sizeof *admin->events);
    admin->events_wall = mn_alloc(ADMIN_EVENTS_MAX * sizeof *admin->events_wall);
    return admin;
}

void admin_free(struct admin *admin)
{
    struct mn_map_entry *entry;

    if (admin == NULL) return;
    while ((entry = mn_map_next(&admin->exchanges, NULL)) != NULL)
        exchange_free(admin, MN_CONTAINER(entry, struct admin_exchange, by_id));
    mn_map_done(&admin->exchanges);
    mn_map_done(&admin->tickets);
    json_parser_free(admin->parser);
    guard_free(admin->own_guard);
    mn_free(admin->events);
    mn_free(admin->events_wall);
    mn_buf_unref(admin->settings);
    mn_free(admin->http_listen);
    mn_free(admin);
}

void admin_step(struct admin *admin, struct mn_now now, const struct admin_input *input,
                struct admin_outbox *outbox)
{
    struct admin_request request = {.admin = admin, .now = now, .outbox = outbox};

    switch (input->type) {
    case ADMIN_IN_TICK: break;
    case ADMIN_IN_EDGE: admin_on_edge(&request, input->edge); break;
    case ADMIN_IN_EVENT: admin_stream_event(admin, now, input->event, outbox); break;
    case ADMIN_IN_REPLY:
        if (admin_find_ticket(&request, input->reply->request))
            request.exchange->route->on_core(&request, input->reply);
        break;
    case ADMIN_IN_GATEWAY:
        if (admin_find_ticket(&request, input->gateway->ticket))
            request.exchange->route->on_gateway(&request, input->gateway);
        break;
    case ADMIN_IN_RECOVER: admin_token_recover(admin, now, input->recover.value); break;
    case ADMIN_IN_DURABLE:
        admin->durable = input->durable;
        admin_on_durable(&request, input->durable);
        break;
    case ADMIN_IN_STATE:
        if (admin_find_ticket(&request, input->state->ticket))
            request.exchange->route->on_state(&request, input->state);
        break;
    case ADMIN_IN_STOP: admin->is_stopping = true; break;
    }
    if (admin->judge_at <= now.mono) admin_stream_judge(admin, now, outbox);
    if (admin->poll_at <= now.mono) admin_stream_poll(admin, now, outbox);
}

mn_time admin_deadline(const struct admin *admin)
{
    return mn_time_min(admin->poll_at, admin->judge_at);
}

void admin_check(const struct admin *admin)
{
    struct mn_map_entry *entry = NULL;
    uint32_t followers = 0;

    MN_ASSERT(admin->exchanges.count <= ADMIN_EXCHANGES_MAX);
    while ((entry = mn_map_next(&admin->exchanges, entry)) != NULL) {
        const struct admin_exchange *exchange = MN_CONTAINER(entry, struct admin_exchange, by_id);
        MN_ASSERT(exchange->ticket.number == 0 || exchange->route != NULL);
        MN_ASSERT(mn_writer_size(&exchange->body) <= ADMIN_BODY_MAX);
        MN_ASSERT(exchange->queued <= ADMIN_STREAM_QUEUE);
        if (!mn_list_is_empty(&exchange->follower)) followers++;
    }
    MN_ASSERT(followers == admin->followers_count && followers <= ADMIN_FOLLOWERS_MAX);
}
