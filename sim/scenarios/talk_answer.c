/* What clients answer when they are asked: modern ones within their next request, legacy ones by a
 * response of their own, a while later. */
#include <stdio.h>

#include "proto/base/memory.h"
#include "sim/scenarios/talk_slot.h"

#define ELSEWHERE 8 /* one answer of so many is posted at another node */
#define AGAIN (500 * MN_MS)
#define TRIES 20u

/* The call that a question names; NULL: it names none of ours, and the run has failed. */
static struct talk *question_talk(const struct slot *slot, struct mn_span text)
{
    struct sim *sim = slot_sim(slot);
    struct talk *talk = text.size < 3 ? NULL : talk_find(sim, mn_span(text.data, text.size - 2));

    if (talk != NULL && talk->client == slot->client->index &&
        (talk == slot->talk || !slot->client->is_modern))
        return talk;
    sim_fail(sim, "client %u is asked \"%.*s\" in %s", slot->client->index, (int)text.size,
             (const char *)text.data, slot->talk->key);
    return NULL;
}

/* What the client answers: the question again, and who it is. False: it is not its question. */
bool talk_answer(const struct slot *slot, struct mn_writer *writer, struct mn_span method,
                 const struct json *params)
{
    uint32_t self = slot->client->index;
    struct mn_span text;

    slot->client->talks->asked++;
    if (mn_span_is(method, "roots/list")) {
        mn_writer_format(writer, "{\"roots\":[{\"uri\":\"file:///client-%u\"}]}", self);
        return true;
    }
    if (mn_span_is(method, "elicitation/create")) {
        text = json_text(json_find_str(params, "message"));
        mn_writer_format(writer,
                         "{\"action\":\"accept\",\"content\":{\"answer\":\"%.*s/client-%u\"}}",
                         (int)text.size, (const char *)text.data, self);
    } else {
        text = json_text(json_find_str(
            json_find_str(talk_first(json_find_str(params, "messages")), "content"), "text"));
        mn_writer_format(writer,
                         "{\"role\":\"assistant\",\"model\":\"sim\",\"content\":{\"type\":"
                         "\"text\",\"text\":\"%.*s/client-%u\"}}",
                         (int)text.size, (const char *)text.data, self);
    }
    return question_talk(slot, text) != NULL;
}

/* A legacy client's response, which it posts in its session after a while; when the node that got
 * it died, nobody may have heard it, and it is posted once more, where the client is. */
struct reply {
    struct talk_client *client;
    struct sim_host *host, *home;
    uint32_t tries;
    char session[SIM_SESSION_SIZE];
    struct mn_buf *body;
    struct sim_event event;
};

static void reply_post(struct sim *sim, void *context);

static void reply_free(struct reply *reply)
{
    mn_buf_unref(reply->body);
    mn_free(reply);
}

static void reply_again(struct reply *reply)
{
    struct sim *sim = reply->client->talks->sim;

    if (reply->client->talks->is_over || ++reply->tries == TRIES) {
        reply_free(reply);
        return;
    }
    reply->host = reply->home;
    sim_at(sim, &reply->event, sim->time + AGAIN, reply_post, reply);
}

static void reply_taken(struct sim *sim, void *context, const struct sim_response *response)
{
    struct reply *reply = context;
    struct talk_client *client = reply->client;

    if (client->talks->is_strict && (response->is_lost || response->code >= 400))
        sim_fail(sim, "an answer of client %u, in a whole world, gets %u", client->index,
                 response->code);
    if (response->is_lost)
        reply_again(reply);
    else
        reply_free(reply);
}

/* It may be taken, and freed, while it is being posted. */
static void reply_post(struct sim *sim, void *context)
{
    struct reply *reply = context;
    struct mn_buf *body = mn_buf_ref(reply->body);
    char session[SIM_SESSION_SIZE];

    (void)sim;
    memcpy(session, reply->session, sizeof session);
    if (reply->host->node == NULL)
        reply_again(reply);
    else
        sim_http_ask(reply->host, &(struct sim_request){.body = mn_buf_span(body),
                                                        .session = session,
                                                        .patience = TALK_PATIENCE_SMALL,
                                                        .is_steadfast = true,
                                                        .on_end = reply_taken,
                                                        .context = reply});
    mn_buf_unref(body);
}

/* Behind a balancer it is posted anywhere, unless no other node can know its session. */
static struct sim_host *reply_host(const struct talk_client *client, struct sim_host *host)
{
    struct sim *sim = client->talks->sim;
    struct sim_host *other = &sim->hosts[rng_below(&sim->rng_work, sim->hosts_count)];

    if (other->node == NULL || rng_below(&sim->rng_work, ELSEWHERE) != 0) return host;
    return talk_session_is_of_one_node(client->session) ? host : other;
}

void talk_reply(struct talk_client *client, struct sim_host *host, const struct json *root,
                struct mn_writer *result)
{
    struct sim *sim = client->talks->sim;
    struct mn_buf *inside = mn_writer_done(result);
    struct reply *reply = mn_alloc(sizeof *reply);
    struct mn_writer message = {0};

    mn_writer_str(&message, "{\"jsonrpc\":\"2.0\",\"id\":");
    mn_writer_add(&message, json_find_str(root, "id")->raw);
    mn_writer_str(&message, ",\"result\":");
    mn_writer_add(&message, mn_buf_span(inside));
    mn_writer_str(&message, "}");
    mn_buf_unref(inside);
    reply->client = client;
    reply->home = host;
    reply->tries = 0;
    reply->host = reply_host(client, host);
    memcpy(reply->session, client->session, sizeof reply->session);
    reply->body = mn_writer_done(&message);
    sim_at(sim, &reply->event, sim->time + rng_below_u64(&sim->rng_work, 3 * MN_SEC), reply_post,
           reply);
}

void talk_asked(struct slot *slot, const struct json *root, struct mn_span method)
{
    const struct json *params = json_find_str(root, "params");
    struct mn_writer answer = {0};

    if (talk_theirs_asked(slot->client, slot->host, root)) return;
    if (!talk_answer(slot, &answer, method, params)) {
        mn_writer_drop(&answer);
        return;
    }
    if (json_find_str(params, "task") != NULL) talk_theirs_begin(slot->client, &answer);
    talk_reply(slot->client, slot->host, root, &answer);
}
