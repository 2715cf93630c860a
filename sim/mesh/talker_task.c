/* Tasks of talkers, of both eras. */
#include "proto/base/memory.h"
#include "sim/mesh/talker_line.h"

#define TASK_POLL_MS 300u
#define REPORT_TIME (400 * MN_MS) /* between two reports of a task */

static const char *task_status_name(const struct task *task)
{
    return task->status == TASK_WORKING     ? "working"
           : task->status == TASK_COMPLETED ? "completed"
                                            : "cancelled";
}

static void task_write(struct mn_writer *writer, const struct task *task)
{
    mn_writer_format(
        writer,
        "\"taskId\":\"%s\",\"status\":\"%s\",\"createdAt\":\"2030-01-01T00:00:00Z\","
        "\"lastUpdatedAt\":\"2030-01-01T00:00:00Z\",\"statusMessage\":\"%s\",\"%s\":60000,"
        "\"%s\":%u",
        task->id, task_status_name(task), task->talk->key,
        task->line->server->is_modern ? "ttlMs" : "ttl",
        task->line->server->is_modern ? "pollIntervalMs" : "pollInterval", TASK_POLL_MS);
}

/* Whoever is there, legacy, or listens for it, modern, is told how it is. */
static void task_tell(struct task *task)
{
    struct mn_writer params = {0};

    if (task->line->server->is_modern && task->status == TASK_COMPLETED)
        mn_writer_format(&params,
                         "\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"did %s\"}]},",
                         task->talk->key);
    task_write(&params, task);
    talker_tell_task(task->line, task->id, mn_buf_span(params.buf));
    mn_writer_drop(&params);
}

/* What waits for the task's result gets it, or hears that there is none. */
static void task_over(struct task *task, enum task_status status)
{
    sim_cancel(talker_sim(task->line), &task->end);
    sim_cancel(talker_sim(task->line), &task->report);
    task->status = status;
    if (!task->talk->is_task_over) task->talk->task_over = talker_sim(task->line)->time;
    task->talk->is_task_over = true;
    task_tell(task);
    MN_LIST_FOR_EACH_SAFE (entry, &task->line->works) {
        struct work *work = MN_CONTAINER(entry, struct work, list);
        if (work->task != task) continue;
        if (status == TASK_COMPLETED) {
            task->talk->ends = 0; /* it may be asked for as often as wanted */
            talker_work_answer(work);
            continue;
        }
        talker_line_answer_text(work->line, work->exchange, mn_buf_span(work->id), "error",
                                "\"code\":-32603,\"message\":\"the task was cancelled\"");
        talker_work_free(work);
    }
}

static void task_end(struct sim *sim, void *context)
{
    (void)sim;
    task_over(context, TASK_COMPLETED);
}

/* Legacy: what began with a token reports while it runs, to whoever is there. */
static void task_report(struct sim *sim, void *context)
{
    struct task *task = context;
    struct mn_writer message = {0};

    mn_writer_str(&message, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\","
                            "\"params\":{\"progressToken\":");
    mn_writer_add(&message, mn_buf_span(task->token));
    mn_writer_format(&message, ",\"progress\":%u,\"message\":\"%s\"}}", ++task->reports,
                     task->talk->key);
    task->talk->task_reported = sim->time;
    task->talk->task_reports = task->reports;
    talker_line_say(task->line, 0, &message, false);
    sim_at(sim, &task->report, sim->time + REPORT_TIME, task_report, task);
}

void talker_task_begin(struct talker_line *line, uint64_t exchange, struct mn_span id,
                       struct talk *talk, const struct json *token)
{
    struct sim *sim = talker_sim(line);
    struct task *task = mn_alloc(sizeof *task);
    struct mn_writer body = {0};

    task->line = line;
    task->talk = talk;
    task->status = TASK_WORKING;
    /* Other servers' tasks are called the same. */
    snprintf(task->id, sizeof task->id, "t%u", ++line->server->tasks_last);
    mn_list_push_back(&line->tasks, &task->list);
    sim_at(sim, &task->end, sim->time + 100 * MN_MS + rng_below_u64(&sim->rng_work, 4 * MN_SEC),
           task_end, task);
    if (token != NULL && !line->server->is_modern) {
        task->token = mn_buf_copy(token->raw);
        sim_at(sim, &task->report, sim->time + REPORT_TIME, task_report, task);
    }
    mn_writer_str(&body, line->server->is_modern ? "\"resultType\":\"task\"," : "\"task\":{");
    task_write(&body, task);
    if (!line->server->is_modern) mn_writer_str(&body, "}");
    talker_line_answer(line, exchange, id, "result", &body);
}

static struct task *task_find(struct talker_line *line, struct mn_span id)
{
    MN_LIST_FOR_EACH (entry, &line->tasks) {
        struct task *task = MN_CONTAINER(entry, struct task, list);
        if (mn_span_is(id, task->id)) return task;
    }
    return NULL;
}

static void task_show(struct talker_line *line, uint64_t exchange, struct mn_span id,
                      const struct task *task)
{
    bool is_modern = line->server->is_modern;
    struct mn_writer body = {0};

    if (is_modern) mn_writer_str(&body, "\"resultType\":\"complete\",");
    task_write(&body, task);
    if (is_modern && task->status == TASK_COMPLETED)
        mn_writer_format(&body,
                         ",\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"did %s\"}]}",
                         task->talk->key);
    talker_line_answer(line, exchange, id, "result", &body);
}

/* [what]: behind "tasks/". */
void talker_task(struct talker_line *line, uint64_t exchange, struct mn_span id, const char *what,
                 const struct json *params)
{
    struct task *task = task_find(line, json_text(json_find_str(params, "taskId")));
    bool is_modern = line->server->is_modern;

    if (task == NULL) {
        talker_line_answer_text(line, exchange, id, "error",
                                "\"code\":-32602,\"message\":\"no such task\"");
    } else if (strcmp(what, "get") == 0) {
        task_show(line, exchange, id, task);
    } else if (strcmp(what, "cancel") == 0) {
        if (task->status == TASK_WORKING) task_over(task, TASK_CANCELLED);
        if (is_modern)
            talker_line_answer_text(line, exchange, id, "result", "");
        else
            task_show(line, exchange, id, task);
    } else {
        struct work *work = talker_work_new(line, exchange, id, task->talk);
        work->task = task;
        if (task->status == TASK_WORKING) return;
        task_over(task, task->status);
    }
}

void talker_tasks_drop(struct talker_line *line)
{
    while (!mn_list_is_empty(&line->tasks)) {
        struct task *task = MN_CONTAINER(line->tasks.next, struct task, list);
        task->talk->was_cut = true;
        sim_cancel(talker_sim(line), &task->end);
        sim_cancel(talker_sim(line), &task->report);
        mn_list_remove(&task->list);
        mn_buf_unref(task->token);
        mn_free(task);
    }
}
