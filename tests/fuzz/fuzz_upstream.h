/* fuzz_upstream.h: one server in a world that does what the input says. After every step the
 * invariants are checked; at the end everything must come to rest. */
#ifndef FUZZ_UPSTREAM_H
#define FUZZ_UPSTREAM_H

#include <stdio.h>

#include "node/mcp/upstream/upstreams.h"
#include "node/mcp/wire/aside.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define FUZZ_FETCHES_MAX 256
#define FUZZ_CHILDREN_MAX 64
#define FUZZ_ORPHAN "0123456789abcdef"
#define FUZZ_SESSION "ann"
#define FUZZ_CALLS_MAX 65536 /* inputs are shorter than that many calls */

struct fuzz_upstream {
    struct upstreams *upstreams;
    struct mn_now now;
    struct mn_arena edge_arena, calls_arena;
    struct edge_outbox edge;
    struct call_outbox calls;
    struct upstreams_outbox outbox;
    uint64_t child, ticket, request_id;
    uint64_t fetches[FUZZ_FETCHES_MAX]; /* running ones; 0: a free place */
    uint64_t request_ids[FUZZ_FETCHES_MAX];
    uint8_t fetch_choice;
    uint64_t children[FUZZ_CHILDREN_MAX]; /* that have not exited; 0: a free place */
    char asked[32];                       /* key of the newest question outside of calls */
    uint8_t open[FUZZ_CALLS_MAX];         /* by ticket: not answered yet, and not cancelled */
};

static inline uint64_t fuzz_upstream_id_in(const struct mn_buf *body)
{
    uint64_t id = 0;
    const char *at = body == NULL ? NULL : strstr((const char *)body->bytes, "\"id\":");

    for (at = at == NULL ? "" : at + 5; *at >= '0' && *at <= '9'; at++)
        id = id * 10 + (uint64_t)(*at - '0');
    return id;
}

static inline void fuzz_upstream_on_output(struct fuzz_upstream *fuzz,
                                           const struct edge_output *output)
{
    if (output->type == EDGE_OUT_CHILD_START) {
        fuzz->child = output->id;
        for (uint32_t i = 0; i < FUZZ_CHILDREN_MAX; i++)
            if (fuzz->children[i] == 0) {
                fuzz->children[i] = output->id;
                break;
            }
    }
    for (uint32_t i = 0; i < FUZZ_FETCHES_MAX; i++) {
        bool is_free = output->type == EDGE_OUT_FETCH_START && fuzz->fetches[i] == 0;
        bool is_it = output->type == EDGE_OUT_FETCH_CANCEL && fuzz->fetches[i] == output->id;
        if (!is_free && !is_it) continue;
        fuzz->fetches[i] = is_free ? output->id : 0;
        fuzz->request_ids[i] = is_free ? fuzz_upstream_id_in(output->buf) : 0;
        return;
    }
}

static inline void fuzz_upstream_on_event(struct fuzz_upstream *fuzz, const struct mn_buf *payload)
{
    const Meshnode__Gateway__Event *event =
        payload == NULL ? NULL
                        : pb_unpack(&meshnode__gateway__event__descriptor, &fuzz->calls_arena,
                                    mn_buf_span(payload));

    if (event != NULL && event->kind_case == MESHNODE__GATEWAY__EVENT__KIND_ASIDE)
        snprintf(fuzz->asked, sizeof fuzz->asked, "%s", event->aside->key);
}

static inline void fuzz_upstream_drain(struct fuzz_upstream *fuzz)
{
    for (uint32_t i = 0; i < fuzz->edge.count; i++)
        fuzz_upstream_on_output(fuzz, &fuzz->edge.items[i]);
    for (uint32_t i = 0; i < fuzz->calls.count; i++) {
        const struct call_message *message = &fuzz->calls.items[i];
        if (message->type != CALL_MESSAGE_EVENT) continue;
        MN_ASSERT(fuzz->open[message->event.ticket]); /* never after the last word */
        fuzz_upstream_on_event(fuzz, message->event.payload);
        if (message->event.kind != CALL_EVENT_PROGRESS) fuzz->open[message->event.ticket] = 0;
    }
    edge_outbox_reset(&fuzz->edge);
    call_outbox_reset(&fuzz->calls);
    mn_arena_reset(&fuzz->calls_arena);
    upstreams_check(fuzz->upstreams);
}

static inline void fuzz_upstream_step(struct fuzz_upstream *fuzz,
                                      const struct upstreams_input *input)
{
    upstreams_step(fuzz->upstreams, fuzz->now, input, &fuzz->outbox);
    fuzz_upstream_drain(fuzz);
}

static inline void fuzz_upstream_edge(struct fuzz_upstream *fuzz, const struct edge_input *input)
{
    for (uint32_t i = 0; i < FUZZ_FETCHES_MAX; i++)
        if (input->type == EDGE_IN_FETCH_DONE && fuzz->fetches[i] == input->id)
            fuzz->fetches[i] = 0;
    fuzz_upstream_step(fuzz, &(struct upstreams_input){.type = UPSTREAMS_IN_EDGE, .edge = input});
}

/* A running fetch, by the input's choice; 0 when there is none. */
static inline uint64_t fuzz_upstream_fetch(struct fuzz_upstream *fuzz)
{
    uint32_t skip = fuzz->fetch_choice;

    for (uint32_t i = 0; i < 2 * FUZZ_FETCHES_MAX; i++) {
        uint32_t at = i % FUZZ_FETCHES_MAX;
        if (fuzz->fetches[at] == 0 || skip-- > 0) continue;
        fuzz->request_id = fuzz->request_ids[at];
        return fuzz->fetches[at];
    }
    return 0;
}

static inline void fuzz_upstream_init(struct fuzz_upstream *fuzz, bool is_http,
                                      enum upstream_era era)
{
    static const uint8_t seed[RNG_SEED_SIZE];
    struct upstreams_config config = {.seed = seed};
    const struct mn_span argv[] = {mn_span_str("tool")};
    struct upstream_config server = {.name = mn_span_str("s"), .era = era};
    struct mn_span why;

    memset(fuzz, 0, sizeof *fuzz);
    fuzz->edge.arena = &fuzz->edge_arena;
    fuzz->calls.arena = &fuzz->calls_arena;
    fuzz->outbox = (struct upstreams_outbox){&fuzz->edge, &fuzz->calls};
    memset(config.self.bytes, 1, sizeof config.self.bytes);
    fuzz->upstreams = upstreams_new(&config);
    if (is_http)
        server.url = mn_span_str("http://x/");
    else
        server.argv = argv, server.argv_count = 1;
    MN_ASSERT(upstreams_add(fuzz->upstreams, fuzz->now, &server, &fuzz->outbox, &why) == MN_OK);
    fuzz_upstream_drain(fuzz);
}

/* The next piece of the input: operation, size, bytes. */
static inline bool fuzz_upstream_next(struct mn_span *rest, uint8_t *operation,
                                      struct mn_span *piece)
{
    size_t size;

    if (rest->size < 2) return false;
    *operation = rest->data[0];
    size = rest->data[1] < rest->size - 2 ? rest->data[1] : rest->size - 2;
    *piece = mn_span(rest->data + 2, size);
    *rest = mn_span(rest->data + 2 + size, rest->size - 2 - size);
    return true;
}

static inline void fuzz_upstream_pass(struct fuzz_upstream *fuzz, mn_time time)
{
    mn_time end = fuzz->now.mono + time;

    for (;;) {
        mn_time deadline = upstreams_deadline(fuzz->upstreams);
        fuzz->now.mono = mn_time_min(deadline < fuzz->now.mono ? fuzz->now.mono : deadline, end);
        if (deadline > end) return;
        fuzz_upstream_step(fuzz, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    }
}

static inline void fuzz_upstream_out(struct fuzz_upstream *fuzz, uint32_t stream,
                                     struct mn_span bytes)
{
    fuzz_upstream_edge(
        fuzz, &(struct edge_input){
                  .type = EDGE_IN_CHILD_OUT, .id = fuzz->child, .code = stream, .bytes = bytes});
}

static inline void fuzz_upstream_exit(struct fuzz_upstream *fuzz, uint32_t code)
{
    uint64_t child = fuzz->child;

    for (uint32_t i = 0; i < FUZZ_CHILDREN_MAX; i++)
        if (fuzz->children[i] == child) fuzz->children[i] = 0;
    fuzz_upstream_edge(fuzz,
                       &(struct edge_input){.type = EDGE_IN_CHILD_EXIT, .id = child, .code = code});
}

/* [bytes]: the params; with "!" in front the whole payload, with "?" or "*" those of a client that
 * can be asked, live or in rounds; "^": the client of the last live one comes by another node; "#":
 * a client with a session, which wants logs; "@": and can be asked; "%": what that one answers to
 * the newest question outside of calls; "~": a lasting call. */
static inline void fuzz_upstream_call(struct fuzz_upstream *fuzz, struct mn_span bytes)
{
    struct call_message message = {.type = CALL_MESSAGE_REQUEST};
    Meshnode__Gateway__Answer answer = MESHNODE__GATEWAY__ANSWER__INIT;
    Meshnode__Gateway__Request request;

    meshnode__gateway__request__init(&request);
    request.method = (char *)(uintptr_t) "tools/call";
    request.params = pb_bytes(bytes.size == 0 ? mn_span_str("{\"name\":\"x\"}") : bytes);
    request.wants_progress = true;
    if (bytes.size > 0 && (bytes.data[0] == '?' || bytes.data[0] == '*')) {
        request.is_live = bytes.data[0] == '?';
        request.client_capabilities =
            pb_bytes(mn_span_str("{\"elicitation\":{},\"sampling\":{},\"roots\":{}}"));
        request.params = pb_bytes(mn_span(bytes.data + 1, bytes.size - 1));
        if (request.is_live) request.orphan = pb_bytes(mn_span_str(FUZZ_ORPHAN));
    } else if (bytes.size > 0 && bytes.data[0] == '^') {
        request.is_live = true;
        request.params = pb_bytes(mn_span_str("{}"));
        request.resume = pb_bytes(mn_span_str(FUZZ_ORPHAN));
    } else if (bytes.size > 0 && strchr("#@%", bytes.data[0]) != NULL && bytes.data[0] != 0) {
        request.is_live = request.wants_logs = true;
        if (bytes.data[0] != '#')
            request.client_capabilities =
                pb_bytes(mn_span_str("{\"elicitation\":{},\"roots\":{}}"));
        if (bytes.data[0] == '%') {
            request.method = (char *)(uintptr_t)ASIDE_ANSWER;
            answer.key = fuzz->asked;
            answer.how_case = MESHNODE__GATEWAY__ANSWER__HOW_RESULT;
            answer.result = pb_bytes(mn_span(bytes.data + 1, bytes.size - 1));
            request.answer = &answer;
        }
        request.session = pb_bytes(mn_span_str(FUZZ_SESSION));
        request.log_level = (char *)(uintptr_t) "info";
        request.params = pb_bytes(mn_span(bytes.data + 1, bytes.size - 1));
    } else if (bytes.size > 0 && bytes.data[0] == '~') {
        request.method = (char *)(uintptr_t) "subscriptions/listen";
    }
    if (fuzz->ticket + 1 >= FUZZ_CALLS_MAX) return;
    message.request.ticket = ++fuzz->ticket;
    message.request.service = mn_span_str("s");
    if (bytes.size > 0 && bytes.data[0] == '!')
        message.request.payload = mn_buf_copy(mn_span(bytes.data + 1, bytes.size - 1));
    else
        message.request.payload = pb_pack(&request.base);
    fuzz->open[fuzz->ticket] = 1;
    fuzz_upstream_step(fuzz,
                       &(struct upstreams_input){.type = UPSTREAMS_IN_CALL, .call = &message});
    mn_buf_unref(message.request.payload);
}

/* The newest call is a lasting one, and wishes for the session; with bytes, at that level, and for
 * a resource of that name. */
static inline void fuzz_upstream_wish(struct fuzz_upstream *fuzz, struct mn_span level)
{
    struct call_message message = {.type = CALL_MESSAGE_INPUT, .more = {.ticket = fuzz->ticket}};
    Meshnode__Gateway__Input input = MESHNODE__GATEWAY__INPUT__INIT;
    Meshnode__Gateway__Wishes wishes = MESHNODE__GATEWAY__WISHES__INIT;
    Meshnode__Gateway__SessionWish wish = MESHNODE__GATEWAY__SESSION_WISH__INIT, *one = &wish;
    char text[16] = {0}, *uri = text;

    memcpy(text, level.data, level.size < sizeof text - 1 ? level.size : sizeof text - 1);
    wish.session = pb_bytes(mn_span_str(FUZZ_SESSION));
    wish.log_level = text;
    wish.uris = &uri;
    wish.n_uris = 1;
    wishes.sessions = &one;
    wishes.n_sessions = 1;
    input.what_case = MESHNODE__GATEWAY__INPUT__WHAT_WISHES;
    input.wishes = &wishes;
    message.more.payload = pb_pack(&input.base);
    fuzz_upstream_step(fuzz,
                       &(struct upstreams_input){.type = UPSTREAMS_IN_CALL, .call = &message});
    mn_buf_unref(message.more.payload);
}

/* What a caller says into its newest call: encoded, with "!" in front the result of an answer, with
 * "~" that it hears for the session, at that log level. */
static inline void fuzz_upstream_input(struct fuzz_upstream *fuzz, struct mn_span bytes)
{
    struct call_message message = {.type = CALL_MESSAGE_INPUT, .more = {.ticket = fuzz->ticket}};
    Meshnode__Gateway__Input input = MESHNODE__GATEWAY__INPUT__INIT;
    Meshnode__Gateway__Answer answer = MESHNODE__GATEWAY__ANSWER__INIT;

    if (bytes.size > 0 && bytes.data[0] == '~') {
        fuzz_upstream_wish(fuzz, mn_span(bytes.data + 1, bytes.size - 1));
        return;
    }
    answer.key = (char *)(uintptr_t) "elicitation-1";
    answer.how_case = MESHNODE__GATEWAY__ANSWER__HOW_RESULT;
    answer.result = pb_bytes(bytes.size == 0 ? bytes : mn_span(bytes.data + 1, bytes.size - 1));
    input.what_case = MESHNODE__GATEWAY__INPUT__WHAT_ANSWER;
    input.answer = &answer;
    message.more.payload =
        bytes.size > 0 && bytes.data[0] == '!' ? pb_pack(&input.base) : mn_buf_copy(bytes);
    fuzz_upstream_step(fuzz,
                       &(struct upstreams_input){.type = UPSTREAMS_IN_CALL, .call = &message});
    mn_buf_unref(message.more.payload);
}

/* Its caller cancels the newest call, or is lost. */
static inline void fuzz_upstream_cancel(struct fuzz_upstream *fuzz, bool is_lost)
{
    struct call_message message = {
        .type = CALL_MESSAGE_CANCEL, .is_lost = is_lost, .ticket = fuzz->ticket};

    fuzz->open[fuzz->ticket] = 0;
    fuzz_upstream_step(fuzz,
                       &(struct upstreams_input){.type = UPSTREAMS_IN_CALL, .call = &message});
}

/* Every call was answered once, and nothing runs on after a stop. */
static inline void fuzz_upstream_done(struct fuzz_upstream *fuzz)
{
    fuzz_upstream_step(fuzz, &(struct upstreams_input){.type = UPSTREAMS_IN_STOP});
    fuzz_upstream_pass(fuzz, MN_MINUTE);
    for (uint32_t i = 0; i < FUZZ_CHILDREN_MAX; i++)
        if (fuzz->children[i] != 0) {
            fuzz->child = fuzz->children[i];
            fuzz_upstream_exit(fuzz, 0);
        }
    fuzz_upstream_pass(fuzz, MN_MINUTE);
    for (uint32_t i = 0; i < FUZZ_CALLS_MAX; i++)
        MN_ASSERT(!fuzz->open[i]);
    MN_ASSERT(upstreams_is_idle(fuzz->upstreams));
    upstreams_free(fuzz->upstreams);
    mn_arena_done(&fuzz->edge_arena);
    mn_arena_done(&fuzz->calls_arena);
}

#endif
