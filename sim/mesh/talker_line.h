/* talker_line.h: what the files of a talker share: talker.c (its lines, and what it is asked),
 * talker_call.c (calls, questions), talker_task.c (tasks), talker_resources.c (resources, and what
 * it tells unasked), talker_aside.c (what is of no call). */
#ifndef SIM_TALKER_LINE_H
#define SIM_TALKER_LINE_H

#include "sim/mesh/talker.h"

#define NS "io.modelcontextprotocol/"

/* What was asked last about a task that a client made of a question: nothing, how it is, what came
 * of it. */
enum theirs_step { THEIRS_NONE, THEIRS_GET, THEIRS_RESULT };

/* A request that waits for its answer. */
struct work {
    struct mn_list list; /* in line->works */
    struct talker_line *line;
    struct talk *talk;
    struct mn_buf *id, *token; /* raw; token NULL: no progress is wanted */
    uint64_t exchange;
    uint64_t asked[TALK_QUESTIONS_MAX]; /* legacy: ids of our questions; 0: not open */
    enum theirs_step theirs;            /* legacy: of the first question, if its client */
    char theirs_id[24];                 /* makes this task of it */
    uint32_t open_questions, done;
    bool is_logged;
    bool is_hastened;  /* see talker_aside_hasten() */
    struct task *task; /* tasks/result */
    struct sim_event next;
};

struct listen {
    struct mn_list list; /* in line->listens */
    struct sim_server *server;
    struct mn_buf *id;
    uint64_t exchange;
    bool wants[TALK_RESOURCES], wants_tools;
    struct mn_buf *tasks; /* ids, raw; NULL: none */
};

enum task_status { TASK_WORKING = 1, TASK_COMPLETED, TASK_CANCELLED };

struct task {
    struct mn_list list; /* in line->tasks */
    struct talker_line *line;
    struct talk *talk;
    char id[16];
    enum task_status status;
    struct mn_buf *token; /* legacy: raw, of its progress; NULL: none is wanted */
    uint32_t reports;
    struct sim_event end, report;
};

struct talker_line {
    struct mn_list list; /* in server->lines */
    struct sim_server *server;
    talker_say *say;
    void *context;
    bool is_initialized;
    bool can_be_asked;       /* legacy: its client, as initialize said */
    bool has_tasks;          /* legacy: its client may make tasks of what it is asked */
    struct mn_buf *declared; /* legacy: what */
    bool topics[TALK_RESOURCES];
    uint64_t question_last;
    struct mn_list works, listens, tasks, asides;
};

struct sim *talker_sim(const struct talker_line *line);

void talker_line_say(struct talker_line *line, uint64_t exchange, struct mn_writer *message,
                     bool is_last);
/* [kind]: "result" or "error", of which [body] or [text] is the inside. */
void talker_line_answer(struct talker_line *line, uint64_t exchange, struct mn_span id,
                        const char *kind, struct mn_writer *body);
void talker_line_answer_text(struct talker_line *line, uint64_t exchange, struct mn_span id,
                             const char *kind, const char *text);

/* ---- talker_call.c ---- */

void talker_call(struct talker_line *line, uint64_t exchange, struct mn_span id,
                 const struct json *params);
/* A response to one of our questions; one that nobody waits for is late. */
void talker_answered(struct talker_line *line, const struct json *root);
/* Who declares these capabilities can be asked all that a talker asks. */
bool talker_may_be_asked(const struct json *capabilities);

/* What waits there is the talk's, too; an answer ends it. */
struct work *talker_work_new(struct talker_line *line, uint64_t exchange, struct mn_span id,
                             struct talk *talk);
void talker_work_answer(struct work *work);
void talker_work_free(struct work *work);

/* ---- talker_theirs.c ---- */

/* A response to the first question of a call, or about the task that its client has made of it.
 * True: that goes on; false: it is the answer. */
bool talker_theirs_answered(struct work *work, const struct json *result);

/* ---- talker_task.c ---- */

/* A call becomes a task; [token]: of its progress, or NULL. */
void talker_task_begin(struct talker_line *line, uint64_t exchange, struct mn_span id,
                       struct talk *talk, const struct json *token);
/* A request about one; [what]: behind "tasks/". */
void talker_task(struct talker_line *line, uint64_t exchange, struct mn_span id, const char *what,
                 const struct json *params);
void talker_tasks_drop(struct talker_line *line);

/* ---- talker_resources.c ---- */

void talker_read(struct talker_line *line, uint64_t exchange, struct mn_span id,
                 const struct json *params);
void talker_listen(struct talker_line *line, uint64_t exchange, struct mn_span id,
                   const struct json *params);
void talker_listen_free(struct listen *listen);
/* Legacy: resources/subscribe and unsubscribe. */
void talker_subscribe(struct talker_line *line, uint64_t exchange, struct mn_span id,
                      const struct json *params, bool is_on);

/* A task changed; [params]: the inside of what is told. */
void talker_tell_task(struct talker_line *line, const char *id, struct mn_span params);

/* ---- talker_aside.c ---- */

/* A legacy session of one client alone is told something of no call, some time later. Nothing is
 * drawn for that. */
void talker_aside_plan(struct talker_line *line, struct talk *talk);
/* Asks what is still to be asked so, for a call is about to end. False: there is nothing. */
bool talker_aside_hasten(struct talker_line *line);
/* The client's response to a question of that kind; nothing if it is to none. */
void talker_aside_answered(struct talker_line *line, const struct json *root);
void talker_asides_drop(struct talker_line *line);

#endif
