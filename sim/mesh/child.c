/* Child processes of a host: a scripted server behind stdin and stdout, one JSON message per line.
 */
#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/mesh/talker.h"

struct child {
    struct mn_list list; /* in host->children */
    struct sim_host *host;
    struct sim_server *server;
    uint64_t id;
    struct mn_writer line; /* stdin, up to the newline */
    struct mn_list lines;  /* struct line, waiting to be written to stdout */
    struct sim_event exit;
    bool is_paused;
    struct talker_line *talk; /* of a talker; else NULL */
};

struct line {
    struct mn_list list;
    struct child *child;
    struct mn_buf *buf;
    struct sim_event event;
};

static void line_free(struct sim *sim, struct line *line)
{
    sim_cancel(sim, &line->event);
    mn_list_remove(&line->list);
    mn_buf_unref(line->buf);
    mn_free(line);
}

static void child_free(struct child *child)
{
    struct sim *sim = child->host->sim;

    while (!mn_list_is_empty(&child->lines))
        line_free(sim, MN_CONTAINER(child->lines.next, struct line, list));
    talker_close(child->talk);
    sim_cancel(sim, &child->exit);
    mn_writer_drop(&child->line);
    mn_list_remove(&child->list);
    mn_free(child);
}

static struct child *child_find(struct sim_host *host, uint64_t id)
{
    MN_LIST_FOR_EACH (entry, &host->children) {
        struct child *child = MN_CONTAINER(entry, struct child, list);
        if (child->id == id) return child;
    }
    return NULL;
}

static void child_exit(struct sim *sim, void *context)
{
    struct child *child = context;
    struct sim_host *host = child->host;
    uint64_t id = child->id;

    (void)sim;
    child_free(child);
    sim_host_input(host, &(struct edge_input){.type = EDGE_IN_CHILD_EXIT, .id = id, .code = 0});
}

static void line_out(struct sim *sim, void *context)
{
    struct line *line = context;
    struct child *child = line->child;
    struct mn_buf *buf = mn_buf_ref(line->buf);

    if (child->is_paused) {
        sim_at(sim, &line->event, sim->time + 10 * MN_MS, line_out, line);
        mn_buf_unref(buf);
        return;
    }
    line_free(sim, line);
    sim_host_input(child->host, &(struct edge_input){.type = EDGE_IN_CHILD_OUT,
                                                     .id = child->id,
                                                     .code = 1,
                                                     .bytes = mn_buf_span(buf)});
    mn_buf_unref(buf);
}

static void child_say(struct child *child, struct mn_buf *text, mn_time delay)
{
    struct sim *sim = child->host->sim;
    struct line *line = mn_alloc(sizeof *line);

    line->child = child;
    line->buf = mn_buf_ref(text);
    mn_list_push_back(&child->lines, &line->list);
    sim_at(sim, &line->event, sim->time + delay, line_out, line);
}

static void child_talk(void *context, uint64_t exchange, struct mn_span message, bool is_last)
{
    struct mn_writer writer = {0};
    struct mn_buf *text;

    (void)exchange;
    (void)is_last;
    mn_writer_add(&writer, message);
    mn_writer_str(&writer, "\n");
    text = mn_writer_done(&writer);
    child_say(context, text, 1 * MN_MS);
    mn_buf_unref(text);
}

static void child_message(struct child *child, struct mn_span message)
{
    struct sim *sim = child->host->sim;
    struct sim_reply reply;
    struct mn_writer writer = {0};
    struct mn_buf *text;

    if (child->talk != NULL) {
        talker_hear(child->talk, 0, message);
        return;
    }
    reply = sim_server_answer(sim, child->server, message);
    if (reply.is_noisy) {
        text = mn_buf_copy(mn_span_str("working on it\n"));
        child_say(child, text, 0);
        mn_buf_unref(text);
    }
    if (reply.is_break) {
        MN_PROBE("sim: a child died instead of answering");
        sim_at(sim, &child->exit, sim->time + reply.delay, child_exit, child);
    } else if (reply.buf != NULL) {
        mn_writer_add(&writer, mn_buf_span(reply.buf));
        mn_writer_str(&writer, "\n");
        text = mn_writer_done(&writer);
        child_say(child, text, reply.delay);
        mn_buf_unref(text);
    }
    mn_buf_unref(reply.buf);
}

static void child_write(struct child *child, struct mn_span bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] != '\n') {
            mn_writer_add(&child->line, mn_span(&bytes.data[i], 1));
            continue;
        }
        struct mn_buf *line = mn_writer_done(&child->line);
        child_message(child, mn_buf_span(line));
        mn_buf_unref(line);
    }
}

static void child_start(struct sim_host *host, const struct edge_output *output)
{
    struct sim_server *server = NULL;
    struct child *child;

    if (output->child_start->argv_count == 2)
        server = sim_server_find(host, output->child_start->argv[1]);
    if (server == NULL) {
        sim_host_input(host, &(struct edge_input){.type = EDGE_IN_CHILD_EXIT,
                                                  .id = output->id,
                                                  .code = 127,
                                                  .status = MN_IO,
                                                  .text = mn_span_str("command not found")});
        return;
    }
    server->listen_id = mn_buf_unref(server->listen_id); /* the new process knows of none */
    child = mn_alloc(sizeof *child);
    *child = (struct child){.host = host, .server = server, .id = output->id};
    mn_list_init(&child->lines);
    mn_list_push_back(&host->children, &child->list);
    if (server->is_talker) child->talk = talker_open(server, child_talk, child);
}

void sim_child_do(struct sim_host *host, const struct edge_output *output)
{
    struct child *child = child_find(host, output->id);

    if (output->type == EDGE_OUT_CHILD_START) {
        child_start(host, output);
    } else if (child == NULL) {
        return; /* gone meanwhile */
    } else if (output->type == EDGE_OUT_CHILD_WRITE) {
        child_write(child, mn_buf_span(output->buf));
    } else if (output->type == EDGE_OUT_CHILD_PAUSE) {
        child->is_paused = output->flag;
    } else {
        sim_at(host->sim, &child->exit, host->sim->time + 5 * MN_MS, child_exit, child);
    }
}

/* The node died: meshnode-child takes its whole group along. */
void sim_child_host_down(struct sim_host *host)
{
    while (!mn_list_is_empty(&host->children))
        child_free(MN_CONTAINER(host->children.next, struct child, list));
}

void sim_child_say(struct sim_host *host, struct mn_buf *line)
{
    MN_LIST_FOR_EACH (entry, &host->children) {
        child_say(MN_CONTAINER(entry, struct child, list), line, 1 * MN_MS);
    }
}

void sim_child_crash_one(struct sim_host *host)
{
    struct child *child = NULL;
    uint32_t count = 0;

    MN_LIST_FOR_EACH (entry, &host->children) { /* nothing is drawn where there is no choice */
        if (count++ == 0 || rng_below(&host->sim->rng_fault, count) == 0)
            child = MN_CONTAINER(entry, struct child, list);
    }
    if (child == NULL) return;
    sim_at(host->sim, &child->exit, host->sim->time, child_exit, child);
}
