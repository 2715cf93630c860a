#include "tests/mcp/upstream_world.h"

#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/mcp/wire/aside.h"
#include "node/mcp/wire/audience.h"
#include "node/mcp/wire/jsonrpc.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define TICKS_MAX 4096 /* until nothing is left to be handled */

void world_init(struct world *w)
{
    static const uint8_t seed[RNG_SEED_SIZE] = {7};
    struct upstreams_config config = {.seed = seed, .trace = &w->trace};

    memset(w, 0, sizeof *w);
    w->now = (struct mn_now){1000 * MN_SEC, 1760000000 * MN_SEC};
    w->edge.arena = &w->edge_arena;
    w->calls.arena = &w->calls_arena;
    w->outbox = (struct upstreams_outbox){&w->edge, &w->calls};
    mn_trace_init(&w->trace, w->ring, 256);
    memset(w->self.bytes, 0xaa, sizeof w->self.bytes);
    config.self = w->self;
    w->upstreams = upstreams_new(&config);
}

void world_done(struct world *w)
{
    upstreams_free(w->upstreams);
    for (uint32_t i = 0; i < w->children_count; i++)
        mn_writer_drop(&w->children[i].in);
    for (uint32_t i = 0; i < w->offers_count; i++)
        mn_buf_unref(w->offers[i].body);
    mn_arena_done(&w->edge_arena);
    mn_arena_done(&w->calls_arena);
    mn_arena_done(&w->kept);
}

static const char *world_keep(struct world *w, struct mn_span text)
{
    return (const char *)mn_arena_copy(&w->kept, text).data;
}

const char *world_format(struct world *w, const char *format, ...)
{
    char text[32768];
    va_list args;

    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ck_assert_int_lt(size, (int)sizeof text);
    return world_keep(w, mn_span_str(text));
}

/* Recording. */

static struct world_child *world_child_of(struct world *w, uint64_t id)
{
    for (uint32_t i = 0; i < w->children_count; i++)
        if (w->children[i].id == id) return &w->children[i];
    ck_abort_msg("child %" PRIu64 " was never started", id);
    return NULL;
}

static void world_on_fetch(struct world *w, const struct edge_output *output)
{
    const struct edge_fetch *start = output->fetch_start;
    struct mn_writer headers = {0};

    ck_assert_uint_lt(w->fetches_count, WORLD_MAX);
    for (uint32_t i = 0; i < start->headers_count; i++) {
        mn_writer_add(&headers, start->headers[i].name);
        mn_writer_str(&headers, ": ");
        mn_writer_add(&headers, start->headers[i].value);
        mn_writer_str(&headers, "\n");
    }
    w->fetches[w->fetches_count++] = (struct world_fetch){
        .id = output->id,
        .method = world_keep(w, start->method),
        .url = world_keep(w, start->url),
        .headers = world_keep(w, mn_buf_span(headers.buf)),
        .body = world_keep(w, mn_buf_span(start->body)),
    };
    mn_writer_drop(&headers);
}

static void world_on_output(struct world *w, const struct edge_output *output)
{
    switch ((int)output->type) {
    case EDGE_OUT_CHILD_START:
        ck_assert_uint_lt(w->children_count, 256);
        w->children[w->children_count] = (struct world_child){.id = output->id};
        snprintf(w->children[w->children_count].command, 64, "%.*s",
                 (int)output->child_start->argv[0].size,
                 (const char *)output->child_start->argv[0].data);
        w->children_count++;
        break;
    case EDGE_OUT_CHILD_WRITE:
        ck_assert(!world_child_of(w, output->id)->is_gone);
        mn_writer_add(&world_child_of(w, output->id)->in, mn_buf_span(output->buf));
        break;
    case EDGE_OUT_CHILD_STOP:
        ck_assert(!world_child_of(w, output->id)->is_gone);
        world_child_of(w, output->id)->is_stopped = true;
        break;
    case EDGE_OUT_FETCH_START: world_on_fetch(w, output); break;
    case EDGE_OUT_FETCH_CANCEL:
        for (uint32_t i = 0; i < w->fetches_count; i++)
            if (w->fetches[i].id == output->id) {
                ck_assert(!w->fetches[i].is_done);
                w->fetches[i].is_cancelled = true;
            }
        break;
    default: ck_abort_msg("output of type %d", (int)output->type);
    }
}

static void world_on_task(struct world *w, const Meshnode__Gateway__TaskState *task,
                          struct world_event *kept)
{
    bool is_progress = task->progress_of[0] != '\0';

    kept->what = is_progress ? "task progress" : "task";
    kept->key =
        world_keep(w, is_progress ? mn_span_str(task->progress_of) : pb_span(task->session));
    kept->json = world_keep(w, pb_span(task->params));
}

static void world_on_aside(struct world *w, const Meshnode__Gateway__Aside *aside,
                           struct world_event *kept)
{
    bool is_question = aside->key[0] != '\0';

    kept->what = !is_question          ? "aside"
                 : aside->is_withdrawn ? "aside withdrawn"
                                       : "aside question";
    kept->key = world_keep(w, is_question ? mn_span_str(aside->key) : pb_span(aside->session));
    kept->message = world_keep(w, mn_span_str(aside->method));
    kept->json = world_keep(w, pb_span(aside->params));
}

static void world_on_event(struct world *w, const struct call_event *event)
{
    struct world_event *kept = &w->events[w->events_count++];
    Meshnode__Gateway__Event *payload;

    ck_assert_uint_lt(w->events_count, WORLD_MAX);
    *kept = (struct world_event){.ticket = event->ticket,
                                 .kind = event->kind,
                                 .failure = event->failure,
                                 .text = world_keep(w, event->text),
                                 .what = "",
                                 .json = ""};
    ck_assert(mn_id_equal(&event->node, &w->self));
    if (event->kind == CALL_EVENT_FAILED) return;
    payload =
        pb_unpack(&meshnode__gateway__event__descriptor, &w->kept, mn_buf_span(event->payload));
    ck_assert_ptr_nonnull(payload);
    switch ((int)payload->kind_case) {
    case MESHNODE__GATEWAY__EVENT__KIND_PROGRESS:
        kept->what = "progress";
        kept->json = world_keep(w, pb_span(payload->progress));
        break;
    case MESHNODE__GATEWAY__EVENT__KIND_LOG:
        kept->what = "log";
        kept->json = world_keep(w, pb_span(payload->log));
        break;
    case MESHNODE__GATEWAY__EVENT__KIND_RESULT:
        kept->what = "result";
        kept->json = world_keep(w, pb_span(payload->result));
        break;
    case MESHNODE__GATEWAY__EVENT__KIND_ERROR:
        kept->what = "error";
        kept->code = (int32_t)payload->error->code;
        kept->message = payload->error->message;
        kept->json = world_keep(w, pb_span(payload->error->data));
        break;
    case MESHNODE__GATEWAY__EVENT__KIND_QUESTION:
        kept->what = "question";
        kept->key = payload->question->key;
        kept->message = payload->question->method;
        kept->json = world_keep(w, pb_span(payload->question->params));
        break;
    case MESHNODE__GATEWAY__EVENT__KIND_UPDATED:
        kept->what = "updated";
        kept->json = payload->updated;
        break;
    case MESHNODE__GATEWAY__EVENT__KIND_TAKEN:
        kept->what = payload->taken->refusal == NULL ? "taken" : "refused";
        kept->key = payload->taken->uri;
        if (payload->taken->refusal == NULL) break;
        kept->code = (int32_t)payload->taken->refusal->code;
        kept->message = payload->taken->refusal->message;
        kept->json = world_keep(w, pb_span(payload->taken->refusal->data));
        break;
    case MESHNODE__GATEWAY__EVENT__KIND_WITHDRAWN:
        kept->what = "withdrawn";
        kept->key = payload->withdrawn;
        break;
    case MESHNODE__GATEWAY__EVENT__KIND_OUTLIVED:
        kept->what = "outlived";
        kept->key = payload->outlived->key;
        kept->message = payload->outlived->as;
        break;
    case MESHNODE__GATEWAY__EVENT__KIND_ELICITED:
        kept->what = "elicited";
        kept->json = world_keep(w, pb_span(payload->elicited));
        break;
    case MESHNODE__GATEWAY__EVENT__KIND_AWAY:
        kept->what = "away";
        kept->json = world_format(w, "%u", payload->away);
        break;
    case MESHNODE__GATEWAY__EVENT__KIND_TASK: world_on_task(w, payload->task, kept); break;
    case MESHNODE__GATEWAY__EVENT__KIND_ASIDE: world_on_aside(w, payload->aside, kept); break;
    default: ck_assert_int_eq(event->kind, CALL_EVENT_PROGRESS); /* a heartbeat */
    }
    kept->resume = mn_arena_copy(&w->kept, pb_span(payload->resume));
}

static void world_write_needs(struct mn_writer *names, const Meshnode__Gateway__Offer *offer,
                              uint64_t table, Meshnode__Gateway__With *const *with,
                              size_t with_count)
{
    struct audience_with rows[AUDIENCE_EXTENSIONS_MAX];
    struct audience audience = {.table = table, .with = rows, .with_count = (uint32_t)with_count};

    ck_assert_uint_le(with_count, AUDIENCE_EXTENSIONS_MAX);
    if (table == 0 && with_count == 0) return;
    for (size_t i = 0; i < with_count; i++) {
        ck_assert_uint_lt(with[i]->extension, offer->n_extensions);
        rows[i].name = mn_span_str(offer->extensions[with[i]->extension]);
        rows[i].table = with[i]->audience;
    }
    mn_writer_str(names, "(");
    audience_describe(names, &audience);
    mn_writer_str(names, ")");
}

static void world_write_variants(struct mn_writer *names, const Meshnode__Gateway__Offer *offer,
                                 Meshnode__Gateway__Variant *const *variants, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mn_writer_str(names, "/");
        world_write_needs(names, offer, variants[i]->audience, variants[i]->with,
                          variants[i]->n_with);
    }
    mn_writer_str(names, " ");
}

static void world_write_items(struct mn_writer *names, const Meshnode__Gateway__Offer *offer,
                              Meshnode__Gateway__Item **items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mn_writer_str(names, items[i]->key);
        world_write_needs(names, offer, items[i]->audience, items[i]->with, items[i]->n_with);
        world_write_variants(names, offer, items[i]->variants, items[i]->n_variants);
    }
}

static void world_on_offer(struct world *w, const struct call_offer *offer)
{
    struct world_offer *kept = &w->offers[w->offers_count++];
    Meshnode__Gateway__Offer *body;
    struct mn_writer names = {0};

    ck_assert_uint_lt(w->offers_count, 256);
    *kept = (struct world_offer){.name = world_keep(w, offer->name), .tools = "", .items = ""};
    memcpy(kept->replica_key, offer->replica_key, CALL_KEY_SIZE);
    if (offer->body == NULL) return;
    kept->body = mn_buf_ref(offer->body);
    body = pb_unpack(&meshnode__gateway__offer__descriptor, &w->kept, mn_buf_span(offer->body));
    ck_assert_ptr_nonnull(body);
    ck_assert_uint_eq(body->format, 1);
    kept->tools_count = (uint32_t)body->n_tools;
    for (size_t i = 0; i < body->n_tools; i++) {
        mn_writer_str(&names, body->tools[i]->name);
        mn_writer_str(&names, body->tools[i]->read_only ? "(ro)" : "");
        world_write_needs(&names, body, body->tools[i]->audience, body->tools[i]->with,
                          body->tools[i]->n_with);
        world_write_variants(&names, body, body->tools[i]->variants, body->tools[i]->n_variants);
    }
    kept->tools = world_keep(w, mn_buf_span(names.buf));
    mn_writer_drop(&names);
    world_write_items(&names, body, body->prompts, body->n_prompts);
    world_write_items(&names, body, body->resources, body->n_resources);
    world_write_items(&names, body, body->templates, body->n_templates);
    kept->items = world_keep(w, mn_buf_span(names.buf));
    kept->instructions = body->instructions;
    kept->is_streaming = body->is_streaming;
    kept->server_info = world_keep(w, pb_span(body->server_info));
    mn_writer_drop(&names);
}

static void world_drain(struct world *w)
{
    for (uint32_t i = 0; i < w->edge.count; i++)
        world_on_output(w, &w->edge.items[i]);
    for (uint32_t i = 0; i < w->calls.count; i++) {
        const struct call_message *message = &w->calls.items[i];
        if (message->type == CALL_MESSAGE_EVENT)
            world_on_event(w, &message->event);
        else if (message->type == CALL_MESSAGE_OFFER)
            world_on_offer(w, &message->offer);
        else
            ck_abort_msg("message of type %d", (int)message->type);
    }
    edge_outbox_reset(&w->edge);
    call_outbox_reset(&w->calls);
    mn_arena_reset(&w->calls_arena);
    upstreams_check(w->upstreams);
}

void world_step(struct world *w, const struct upstreams_input *input)
{
    upstreams_step(w->upstreams, w->now, input, &w->outbox);
    world_drain(w);
}

void world_edge(struct world *w, const struct edge_input *input)
{
    world_step(w, &(struct upstreams_input){.type = UPSTREAMS_IN_EDGE, .edge = input});
}

void world_pass(struct world *w, mn_time time)
{
    mn_time end = w->now.mono + time;

    for (;;) {
        mn_time deadline = upstreams_deadline(w->upstreams);
        mn_time next = deadline < w->now.mono ? w->now.mono : mn_time_min(deadline, end);
        w->now.wall += next - w->now.mono;
        w->now.mono = next;
        if (deadline > end) return;
        world_step(w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
        deadline = upstreams_deadline(w->upstreams);
        ck_assert(deadline == 0 || deadline > w->now.mono); /* 0: it goes on with something large */
    }
}

void world_stop(struct world *w)
{
    world_step(w, &(struct upstreams_input){.type = UPSTREAMS_IN_STOP});
}

mn_status world_add(struct world *w, const struct upstream_config *config)
{
    mn_status status = upstreams_add(w->upstreams, w->now, config, &w->outbox, &w->why);

    if (status != MN_OK) w->why = mn_span_str(world_keep(w, w->why));
    world_drain(w);
    return status;
}

mn_status world_add_child(struct world *w, const char *name, enum upstream_era era)
{
    const struct mn_span argv[] = {mn_span_str("tool"), mn_span_str("--stdio")};

    return world_add(w, &(struct upstream_config){.name = mn_span_str(name),
                                                  .argv = argv,
                                                  .argv_count = 2,
                                                  .era = era,
                                                  .is_uniform = !w->is_surveyed});
}

mn_status world_add_url(struct world *w, const char *name, const char *url, enum upstream_era era)
{
    const struct edge_header header = {mn_span_str("X-Api-Key"), mn_span_str("k-123")};

    return world_add(w, &(struct upstream_config){.name = mn_span_str(name),
                                                  .url = mn_span_str(url),
                                                  .headers = &header,
                                                  .headers_count = 1,
                                                  .era = era,
                                                  .is_uniform = !w->is_surveyed});
}

struct upstream_info world_info(struct world *w, const char *name)
{
    struct upstream_info info;

    ck_assert_int_eq(upstreams_find(w->upstreams, mn_span_str(name), &info), MN_OK);
    return info;
}

const char *world_log(struct world *w, const char *name)
{
    struct mn_writer all = {0};
    struct upstream_log_line line = {0};
    const char *text;

    while (upstreams_log_next(w->upstreams, mn_span_str(name), line.sequence, &line)) {
        mn_writer_add(&all, line.text);
        mn_writer_str(&all, "\n");
    }
    text = world_keep(w, mn_buf_span(all.buf));
    mn_writer_drop(&all);
    return text;
}

/* Children. */

struct world_child *world_child(struct world *w)
{
    ck_assert_uint_gt(w->children_count, 0);
    return &w->children[(w->child_chosen == 0 ? w->children_count : w->child_chosen) - 1];
}

const char *world_line(struct world *w)
{
    struct world_child *child = world_child(w);
    struct mn_span all = mn_buf_span(child->in.buf);
    struct mn_span rest = mn_span(all.data + child->read, all.size - child->read);
    const uint8_t *end = rest.size == 0 ? NULL : memchr(rest.data, '\n', rest.size);

    if (end == NULL) return NULL;
    child->read += (size_t)(end - rest.data) + 1;
    return world_keep(w, mn_span(rest.data, (size_t)(end - rest.data)));
}

void world_say_bytes(struct world *w, uint32_t stream, struct mn_span bytes)
{
    world_edge(w, &(struct edge_input){.type = EDGE_IN_CHILD_OUT,
                                       .id = world_child(w)->id,
                                       .code = stream,
                                       .bytes = bytes});
}

void world_say(struct world *w, const char *text)
{
    world_say_bytes(w, 1, mn_span_str(text));
}

void world_exit(struct world *w, uint32_t code)
{
    world_child(w)->is_gone = true;
    world_edge(w, &(struct edge_input){
                      .type = EDGE_IN_CHILD_EXIT, .id = world_child(w)->id, .code = code});
}

uint64_t world_id(const char *message)
{
    const char *at;

    ck_assert_ptr_nonnull(message);
    at = strstr(message, "\"id\":");
    ck_assert_msg(at != NULL, "no id in %s", message);
    return strtoull(at + 5, NULL, 10);
}

void world_answer(struct world *w, const char *line, const char *result)
{
    world_say(w, world_format(w, "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",\"result\":%s}\n",
                              world_id(line), result));
}

void world_error(struct world *w, const char *line, int code, const char *data)
{
    world_say(w, world_format(w,
                              "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64
                              ",\"error\":{\"code\":%d,\"message\":\"no\"%s%s}}\n",
                              world_id(line), code, data[0] ? ",\"data\":" : "", data));
}

/* Fetches. */

struct world_fetch *world_fetch(struct world *w)
{
    return w->fetch_next == w->fetches_count ? NULL : &w->fetches[w->fetch_next++];
}

void world_head(struct world *w, struct world_fetch *fetch, uint32_t code, const char *type,
                const char *session)
{
    struct edge_header headers[2];
    uint32_t count = 0;

    ck_assert_ptr_nonnull(fetch);
    if (type != NULL)
        headers[count++] = (struct edge_header){mn_span_str("content-type"), mn_span_str(type)};
    if (session != NULL)
        headers[count++] =
            (struct edge_header){mn_span_str("mcp-session-id"), mn_span_str(session)};
    world_edge(w, &(struct edge_input){.type = EDGE_IN_FETCH_HEAD,
                                       .id = fetch->id,
                                       .code = code,
                                       .headers = headers,
                                       .headers_count = count});
}

void world_body(struct world *w, struct world_fetch *fetch, const char *text)
{
    world_edge(w, &(struct edge_input){
                      .type = EDGE_IN_FETCH_BODY, .id = fetch->id, .bytes = mn_span_str(text)});
}

void world_end(struct world *w, struct world_fetch *fetch, mn_status status, const char *text)
{
    ck_assert_ptr_nonnull(fetch);
    fetch->is_done = true;
    world_edge(w, &(struct edge_input){.type = EDGE_IN_FETCH_DONE,
                                       .id = fetch->id,
                                       .status = status,
                                       .text = mn_span_str(text)});
}

void world_reply(struct world *w, struct world_fetch *fetch, uint32_t code, const char *type,
                 const char *text)
{
    world_head(w, fetch, code, type, NULL);
    if (text != NULL) world_body(w, fetch, text);
    world_end(w, fetch, MN_OK, "");
}

void world_reply_result(struct world *w, struct world_fetch *fetch, const char *result)
{
    world_reply(w, fetch, 200, "application/json",
                world_format(w, "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",\"result\":%s}",
                             world_id(fetch->body), result));
}

const char *world_header(struct world *w, const struct world_fetch *fetch, const char *name)
{
    const char *wanted = world_format(w, "%s: ", name);
    const char *at = fetch->headers;

    while (at != NULL && strncmp(at, wanted, strlen(wanted)) != 0) {
        at = strchr(at, '\n');
        if (at != NULL) at++;
        if (at != NULL && *at == 0) at = NULL;
    }
    if (at == NULL) return NULL;
    at += strlen(wanted);
    return world_keep(w, mn_span(at, strcspn(at, "\n")));
}

/* Calls. */

void world_call(struct world *w, const struct world_call *call)
{
    Meshnode__Gateway__Request request;
    ProtobufCBinaryData trail[16];
    struct call_message message = {.type = CALL_MESSAGE_REQUEST};

    meshnode__gateway__request__init(&request);
    request.method = (char *)(uintptr_t)(call->method == NULL ? "tools/call" : call->method);
    request.params = pb_bytes(mn_span_str(call->params));
    request.client_info = pb_bytes(mn_span_str(call->client_info));
    if (call->log_level != NULL) request.log_level = (char *)(uintptr_t)call->log_level;
    request.client_capabilities = pb_bytes(mn_span_str(call->capabilities));
    request.session = pb_bytes(mn_span_str(call->session));
    request.resume = pb_bytes(call->resume);
    if (call->version != NULL) request.protocol_version = (char *)(uintptr_t)call->version;
    request.orphan = pb_bytes(call->orphan);
    request.is_live = call->is_live;
    request.wants_progress = call->wants_progress;
    request.wants_logs = call->wants_logs;
    request.uris = (char **)(uintptr_t)&call->uri;
    request.n_uris = call->uri != NULL;
    request.n_trail = call->trail_count;
    request.trail = trail;
    for (uint32_t i = 0; i < call->trail_count; i++)
        trail[i] = pb_id_bytes(&call->trail[i]);
    message.request = (struct call_request){.ticket = call->ticket,
                                            .service = mn_span_str(call->service),
                                            .payload = pb_pack(&request.base)};
    if (call->orphan.size > 0) message.request.node.bytes[0] = 1; /* it came by another node */
    world_step(w, &(struct upstreams_input){.type = UPSTREAMS_IN_CALL, .call = &message});
    mn_buf_unref(message.request.payload);
}

void world_call_echo(struct world *w, uint64_t ticket, const char *service)
{
    world_call(
        w, &(struct world_call){.ticket = ticket,
                                .service = service,
                                .params = "{\"name\":\"echo\",\"arguments\":{\"text\":\"hi\"}}"});
}

void world_wish(struct world *w, uint64_t ticket, const char *const *uris)
{
    Meshnode__Gateway__Input input = MESHNODE__GATEWAY__INPUT__INIT;
    Meshnode__Gateway__Wishes wishes = MESHNODE__GATEWAY__WISHES__INIT;
    struct call_message message = {.type = CALL_MESSAGE_INPUT, .more = {.ticket = ticket}};

    while (uris[wishes.n_uris] != NULL)
        wishes.n_uris++;
    wishes.uris = (char **)(uintptr_t)uris;
    wishes.wants_taken = !w->is_old_node;
    input.what_case = MESHNODE__GATEWAY__INPUT__WHAT_WISHES;
    input.wishes = &wishes;
    message.more.payload = pb_pack(&input.base);
    world_step(w, &(struct upstreams_input){.type = UPSTREAMS_IN_CALL, .call = &message});
    mn_buf_unref(message.more.payload);
}

void world_wish_task(struct world *w, uint64_t ticket, const char *id, const char *session)
{
    Meshnode__Gateway__Input input = MESHNODE__GATEWAY__INPUT__INIT;
    Meshnode__Gateway__Wishes wishes = MESHNODE__GATEWAY__WISHES__INIT;
    Meshnode__Gateway__TaskWish wish = MESHNODE__GATEWAY__TASK_WISH__INIT, *one = &wish;
    struct call_message message = {.type = CALL_MESSAGE_INPUT, .more = {.ticket = ticket}};

    if (id != NULL) {
        wish.id = (char *)(uintptr_t)id;
        wish.session = pb_bytes(mn_span_str(session));
        wishes.tasks = &one;
        wishes.n_tasks = 1;
    }
    input.what_case = MESHNODE__GATEWAY__INPUT__WHAT_WISHES;
    input.wishes = &wishes;
    message.more.payload = pb_pack(&input.base);
    world_step(w, &(struct upstreams_input){.type = UPSTREAMS_IN_CALL, .call = &message});
    mn_buf_unref(message.more.payload);
}

static void world_wish_as(struct world *w, uint64_t ticket, Meshnode__Gateway__SessionWish *wish)
{
    Meshnode__Gateway__Input input = MESHNODE__GATEWAY__INPUT__INIT;
    Meshnode__Gateway__Wishes wishes = MESHNODE__GATEWAY__WISHES__INIT;
    struct call_message message = {.type = CALL_MESSAGE_INPUT, .more = {.ticket = ticket}};

    wishes.sessions = &wish;
    wishes.n_sessions = wish->session.len > 0;
    input.what_case = MESHNODE__GATEWAY__INPUT__WHAT_WISHES;
    input.wishes = &wishes;
    message.more.payload = pb_pack(&input.base);
    world_step(w, &(struct upstreams_input){.type = UPSTREAMS_IN_CALL, .call = &message});
    mn_buf_unref(message.more.payload);
}

void world_wish_session(struct world *w, uint64_t ticket, const char *session, const char *level)
{
    Meshnode__Gateway__SessionWish wish = MESHNODE__GATEWAY__SESSION_WISH__INIT;

    wish.session = pb_bytes(mn_span_str(session));
    if (level != NULL) wish.log_level = (char *)(uintptr_t)level;
    world_wish_as(w, ticket, &wish);
}

void world_wish_own(struct world *w, uint64_t ticket, const char *session, const char *const *uris)
{
    Meshnode__Gateway__SessionWish wish = MESHNODE__GATEWAY__SESSION_WISH__INIT;

    wish.session = pb_bytes(mn_span_str(session));
    wish.uris = (char **)(uintptr_t)uris;
    while (uris[wish.n_uris] != NULL)
        wish.n_uris++;
    world_wish_as(w, ticket, &wish);
}

void world_wish_moved(struct world *w, uint64_t ticket, const char *session, uint64_t moves,
                      uint64_t opened_ms)
{
    Meshnode__Gateway__SessionWish wish = MESHNODE__GATEWAY__SESSION_WISH__INIT;
    char level[] = "info";

    wish.session = pb_bytes(mn_span_str(session));
    wish.log_level = level;
    wish.moves = moves;
    wish.opened_ms = opened_ms;
    world_wish_as(w, ticket, &wish);
}

static void world_send_aside(struct world *w, const struct world_call *as,
                             Meshnode__Gateway__Answer *answer)
{
    Meshnode__Gateway__Request request = MESHNODE__GATEWAY__REQUEST__INIT;
    struct call_message message = {.type = CALL_MESSAGE_REQUEST};

    request.method = (char *)(uintptr_t)ASIDE_ANSWER;
    request.params = pb_bytes(mn_span_str("{}"));
    request.session = pb_bytes(mn_span_str(as->session));
    request.client_capabilities = pb_bytes(mn_span_str(as->capabilities));
    request.answer = answer;
    message.request.ticket = as->ticket;
    message.request.service = mn_span_str(as->service);
    message.request.payload = pb_pack(&request.base);
    world_step(w, &(struct upstreams_input){.type = UPSTREAMS_IN_CALL, .call = &message});
    mn_buf_unref(message.request.payload);
}

void world_answer_aside(struct world *w, const struct world_call *as, const char *key,
                        const char *result, int code)
{
    Meshnode__Gateway__Answer answer = MESHNODE__GATEWAY__ANSWER__INIT;
    Meshnode__Gateway__Error error = MESHNODE__GATEWAY__ERROR__INIT;

    answer.key = (char *)(uintptr_t)key;
    answer.how_case =
        code == 0 ? MESHNODE__GATEWAY__ANSWER__HOW_RESULT : MESHNODE__GATEWAY__ANSWER__HOW_ERROR;
    error.code = code;
    error.message = (char *)(uintptr_t) "no";
    if (code == 0)
        answer.result = pb_bytes(mn_span_str(result));
    else
        answer.error = &error;
    answer.by_client = code != JSONRPC_INTERNAL;
    world_send_aside(w, as, &answer);
}

void world_ask_again(struct world *w, const struct world_call *as, const char *key)
{
    Meshnode__Gateway__Answer answer = MESHNODE__GATEWAY__ANSWER__INIT;

    answer.key = (char *)(uintptr_t)key;
    answer.ask_again = true;
    world_send_aside(w, as, &answer);
}

void world_input(struct world *w, uint64_t ticket, const char *key, const char *result, int code)
{
    Meshnode__Gateway__Input input = MESHNODE__GATEWAY__INPUT__INIT;
    Meshnode__Gateway__Answer answer = MESHNODE__GATEWAY__ANSWER__INIT;
    Meshnode__Gateway__Error error = MESHNODE__GATEWAY__ERROR__INIT;
    struct call_message message = {.type = CALL_MESSAGE_INPUT, .more = {.ticket = ticket}};

    answer.key = (char *)(uintptr_t)key;
    if (result != NULL) {
        answer.how_case = MESHNODE__GATEWAY__ANSWER__HOW_RESULT;
        answer.result = pb_bytes(mn_span_str(result));
    } else {
        error.code = code;
        error.message = (char *)(uintptr_t)world_format(w, "no");
        answer.how_case = MESHNODE__GATEWAY__ANSWER__HOW_ERROR;
        answer.error = &error;
        answer.by_client = code != JSONRPC_INTERNAL;
    }
    input.what_case = MESHNODE__GATEWAY__INPUT__WHAT_ANSWER;
    input.answer = &answer;
    message.more.payload = pb_pack(&input.base);
    world_step(w, &(struct upstreams_input){.type = UPSTREAMS_IN_CALL, .call = &message});
    mn_buf_unref(message.more.payload);
}

static void world_end_call(struct world *w, uint64_t ticket, bool is_lost)
{
    struct call_message message = {
        .type = CALL_MESSAGE_CANCEL, .is_lost = is_lost, .ticket = ticket};
    world_step(w, &(struct upstreams_input){.type = UPSTREAMS_IN_CALL, .call = &message});
}

void world_cancel(struct world *w, uint64_t ticket)
{
    world_end_call(w, ticket, false);
}

void world_lose(struct world *w, uint64_t ticket)
{
    world_end_call(w, ticket, true);
}

struct world_event *world_event(struct world *w)
{
    return w->event_next == w->events_count ? NULL : &w->events[w->event_next++];
}

struct world_offer *world_offer(struct world *w)
{
    return w->offers_count == 0 ? NULL : &w->offers[w->offers_count - 1];
}

/* Ready servers. */

const char *world_tools_result(struct world *w, const char *tools)
{
    return world_format(w, "{\"tools\":%s}", tools);
}

void world_up_legacy(struct world *w, const char *name)
{
    ck_assert_int_eq(world_add_child(w, name, UPSTREAM_ERA_LEGACY), MN_OK);
    world_answer(w, world_line(w), WORLD_LEGACY);
    ck_assert_ptr_nonnull(strstr(world_line(w), "notifications/initialized"));
    world_answer(w, world_line(w), world_tools_result(w, WORLD_TOOLS));
    ck_assert_int_eq(world_info(w, name).state, UPSTREAM_READY);
}

void world_up_modern(struct world *w, const char *name)
{
    ck_assert_int_eq(world_add_child(w, name, UPSTREAM_ERA_MODERN), MN_OK);
    world_answer(w, world_line(w), WORLD_MODERN);
    world_answer(w, world_line(w), world_tools_result(w, WORLD_TOOLS));
    ck_assert_int_eq(world_info(w, name).state, UPSTREAM_READY);
}

void world_up_http(struct world *w, const char *name)
{
    struct world_fetch *fetch;

    ck_assert_int_eq(world_add_url(w, name, "http://up.example/mcp", UPSTREAM_ERA_LEGACY), MN_OK);
    fetch = world_fetch(w);
    world_head(w, fetch, 200, "application/json", "sess-1");
    world_body(w, fetch,
               world_format(w, "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",\"result\":%s}",
                            world_id(fetch->body), WORLD_LEGACY));
    world_end(w, fetch, MN_OK, "");
    world_reply(w, world_fetch(w), 202, NULL, NULL);
    world_reply_result(w, world_fetch(w), world_tools_result(w, WORLD_TOOLS));
    ck_assert_int_eq(world_info(w, name).state, UPSTREAM_READY);
}

void world_up_http_modern(struct world *w, const char *name)
{
    ck_assert_int_eq(world_add_url(w, name, "http://up.example/mcp", UPSTREAM_ERA_MODERN), MN_OK);
    world_reply_result(w, world_fetch(w), WORLD_MODERN);
    world_reply_result(w, world_fetch(w), world_tools_result(w, WORLD_TOOLS));
    ck_assert_int_eq(world_info(w, name).state, UPSTREAM_READY);
}

void world_work_off(struct world *w)
{
    for (int i = 0; upstreams_deadline(w->upstreams) <= w->now.mono; i++) {
        ck_assert_int_lt(i, TICKS_MAX);
        world_step(w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    }
}
