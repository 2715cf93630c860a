#include "node/mcp/upstream/upstream_asked.h"

#include "node/mcp/upstream/upstream_aside.h"
#include "node/mcp/upstream/upstream_askable.h"
#include "node/mcp/upstream/upstream_lease.h"
#include "node/mcp/upstream/upstream_question.h"
#include "node/mcp/upstream/upstream_reply.h"
#include "node/mcp/wire/aside.h"
#include "proto/base/check.h"
#include "proto/base/text.h"
#include "proto/pb.h"

#define KEY_BYTES 8 /* drawn anew for each question, as others may know the keys of before */

/* What the server asked, and nobody has answered. */
struct asked {
    struct mn_list link; /* in lease->aside.questions */
    char key[2 * KEY_BYTES + 1];
    mn_time since, until;
    bool was_told, is_cancelled;       /* cancelled: see upstream_question.h */
    struct mn_span id, method, params; /* behind this struct; id: verbatim */
};

/* Once there is somebody who hears. */
static void asked_tell(struct upstream *lease, struct asked *asked)
{
    Meshnode__Gateway__Aside aside = MESHNODE__GATEWAY__ASIDE__INIT;

    if (lease->aside.hearer == NULL) return;
    aside.key = asked->key;
    aside.method = (char *)(uintptr_t)mn_arena_copy(&lease->host->scratch, asked->method).data;
    aside.params = pb_bytes(asked->params);
    upstream_aside_emit(lease, &aside);
    asked->was_told = true;
}

static void asked_tell_withdrawn(struct upstream *lease, struct asked *asked)
{
    Meshnode__Gateway__Aside aside = MESHNODE__GATEWAY__ASIDE__INIT;

    if (lease->aside.hearer == NULL || !asked->was_told) return;
    aside.key = asked->key;
    aside.is_withdrawn = true;
    upstream_aside_emit(lease, &aside);
}

static void asked_drop(struct upstream *lease, struct asked *asked)
{
    mn_list_remove(&asked->link);
    lease->aside.questions_count--;
    mn_free(asked);
}

static void asked_watch(struct upstream *lease)
{
    mn_time at = MN_TIME_NEVER, now = lease->host->now.mono;

    MN_LIST_FOR_EACH (link, &lease->aside.questions)
        at = mn_time_min(at, MN_CONTAINER(link, struct asked, link)->until);
    if (at == MN_TIME_NEVER)
        upstream_timer_clear(lease->host, &lease->aside.timer);
    else
        upstream_timer_set(lease->host, &lease->aside.timer, at > now ? at - now : 0);
}

/* How long it is waited for: its client thinks; or is not there, now or yet. */
static void asked_wait(struct upstream *lease, struct asked *asked)
{
    mn_time now = lease->host->now.mono;

    asked->until = upstream_askable_is_patient(asked->method)
                       ? MN_TIME_NEVER
                       : mn_time_after(asked->since, UPSTREAM_QUESTION_TTL);
    if (lease->aside.hearer != NULL) return;
    asked->until =
        mn_time_min(asked->until, mn_time_after(now, asked->was_told ? UPSTREAM_ASKED_LEFT
                                                                     : UPSTREAM_ASKED_UNTOLD));
}

static void asked_again(struct upstream *lease, struct asked *asked)
{
    asked_tell(lease, asked);
    asked_wait(lease, asked);
}

/* Somebody else hears now, or nobody does. */
void upstream_asked_again(struct upstream *lease)
{
    MN_LIST_FOR_EACH (link, &lease->aside.questions)
        asked_again(lease, MN_CONTAINER(link, struct asked, link));
    asked_watch(lease);
}

static struct mn_span asked_copy(uint8_t **to, struct mn_span text)
{
    uint8_t *copy = *to;

    if (text.size > 0) memcpy(copy, text.data, text.size);
    *to += text.size;
    return mn_span(copy, text.size);
}

struct mn_span upstream_asked_key(struct upstream *lease)
{
    uint8_t random[KEY_BYTES];
    char key[2 * KEY_BYTES + 1];

    rng_bytes(&lease->host->rng, random, sizeof random);
    mn_hex_encode(mn_span(random, sizeof random), key);
    return mn_arena_copy(&lease->host->scratch, mn_span_str(key));
}

static struct asked *asked_new(struct upstream *lease, struct mn_span key, struct mn_span id,
                               struct mn_span method, struct mn_span params)
{
    struct asked *asked = mn_alloc(sizeof *asked + id.size + method.size + params.size);
    uint8_t *to = (uint8_t *)(asked + 1);

    MN_ASSERT(key.size == sizeof asked->key - 1);
    memcpy(asked->key, key.data, key.size);
    asked->since = lease->host->now.mono;
    asked->id = asked_copy(&to, id);
    asked->method = asked_copy(&to, method);
    asked->params = asked_copy(&to, params);
    mn_list_push_back(&lease->aside.questions, &asked->link);
    lease->aside.questions_count++;
    return asked;
}

static void asked_begin(struct upstream *lease, struct asked *asked)
{
    if (!asked->was_told) asked_tell(lease, asked);
    asked_wait(lease, asked);
    asked_watch(lease);
}

/* Whether one more can be asked of its client. */
static bool asked_may(const struct upstream *server, struct mn_span params)
{
    return upstream_lease_is_apart(server) && !mn_list_is_empty(&server->lease.link) &&
           !server->lease.is_exclusive && server->aside.questions_count < UPSTREAM_QUESTIONS_MAX &&
           params.size <= ASIDE_PARAMS_MAX;
}

bool upstream_asked_ask(struct upstream *server, const struct jsonrpc_message *message)
{
    struct mn_span params = message->params == NULL ? mn_span(NULL, 0) : message->params->raw;
    struct asked *asked;

    if (!asked_may(server, params) ||
        !upstream_askable_may(server->host, mn_buf_span(server->lease.capabilities),
                              message->method, message->params))
        return false;
    MN_PROBE("upstream: a client is asked outside of any call");
    asked = asked_new(server, upstream_asked_key(server), message->id, message->method, params);
    asked->is_cancelled = upstream_askable_is_cancelled(server, message->method, message->params);
    asked_begin(server, asked);
    return true;
}

bool upstream_asked_may_take(const struct upstream *server,
                             const struct upstream_question *question)
{
    return server->aside.hearer != NULL && asked_may(server, question->params);
}

void upstream_asked_take(struct upstream *server, const struct upstream_question *question,
                         struct mn_span key, bool is_known)
{
    struct asked *asked = asked_new(server, key, question->id, question->method, question->params);

    asked->is_cancelled = question->is_cancelled;
    asked->was_told = is_known;
    asked_begin(server, asked);
}

void upstream_asked_withdraw(struct upstream *server, struct mn_span id)
{
    MN_LIST_FOR_EACH (link, &server->aside.questions) {
        struct asked *asked = MN_CONTAINER(link, struct asked, link);
        if (!mn_span_equal(asked->id, id)) continue;
        asked_tell_withdrawn(server, asked);
        asked_drop(server, asked);
        asked_watch(server);
        return;
    }
}

static void asked_answer(struct upstream *lease, const struct asked *asked,
                         const Meshnode__Gateway__Answer *answer, struct mn_buf *source)
{
    struct mn_span data;

    if (answer->how_case == MESHNODE__GATEWAY__ANSWER__HOW_ERROR) {
        data = pb_span(answer->error->data);
        if (!upstream_question_is_object(lease->host, data)) data = mn_span(NULL, 0);
        upstream_question_refuse(lease, asked->id, asked->is_cancelled && !answer->by_client,
                                 answer->error->code, pb_text(answer->error->message), data);
    } else if (answer->how_case == MESHNODE__GATEWAY__ANSWER__HOW_RESULT) {
        upstream_question_give(lease, asked->id, asked->is_cancelled, source,
                               pb_span(answer->result));
    } else {
        upstream_question_refuse_bad(lease, asked->id, asked->is_cancelled);
    }
}

void upstream_asked_on_answer(struct upstream *lease, const Meshnode__Gateway__Answer *answer,
                              struct mn_buf *source)
{
    MN_LIST_FOR_EACH (link, &lease->aside.questions) {
        struct asked *asked = MN_CONTAINER(link, struct asked, link);
        if (!mn_span_is(pb_text(answer->key), asked->key)) continue;
        if (answer->ask_again) {
            asked_again(lease, asked);
        } else {
            asked_answer(lease, asked, answer, source);
            asked_drop(lease, asked);
        }
        asked_watch(lease);
        return;
    }
    upstream_question_on_late(lease, answer, source);
}

void upstream_asked_on_timer(struct upstream *lease)
{
    MN_LIST_FOR_EACH_SAFE (link, &lease->aside.questions) {
        struct asked *asked = MN_CONTAINER(link, struct asked, link);
        if (asked->until > lease->host->now.mono) continue;
        MN_PROBE("upstream: a question outside of calls is declined");
        asked_tell_withdrawn(lease, asked);
        if (lease->state == UPSTREAM_READY)
            upstream_question_refuse(lease, asked->id, asked->is_cancelled, JSONRPC_INTERNAL,
                                     mn_span_str(asked->was_told
                                                     ? "the client did not answer in time"
                                                     : "the client is not connected"),
                                     mn_span(NULL, 0));
        asked_drop(lease, asked);
    }
    asked_watch(lease);
}

void upstream_asked_forget(struct upstream *lease)
{
    upstream_reply_forget(lease);
    while (!mn_list_is_empty(&lease->aside.questions)) {
        struct asked *asked = MN_CONTAINER(lease->aside.questions.next, struct asked, link);
        asked_tell_withdrawn(lease, asked);
        asked_drop(lease, asked);
    }
    upstream_timer_clear(lease->host, &lease->aside.timer);
}
