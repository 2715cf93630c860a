/* Questions that outlive their call: the server, a child, could not say which of its client's calls
 * it asks about, or it did not wait for the answer. The client has the question, and is not asked
 * it once more: its answer goes another way from now on. It may be under way already, into a call
 * that is over by the time it gets there: so a little of what was answered is kept with the call.
 */
#include "node/mcp/front/front_asked.h"
#include "node/mcp/front/front_parts.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define ANSWERS_MAX 16u              /* of one call */
#define ANSWERS_SIZE ((size_t)65536) /* bytes of them; what does not fit is asked again; */
#define ALL_SIZE ((size_t)16 << 20)  /* so it is beyond those of all calls */

struct answered {
    struct mn_list in_call;
    struct mn_buf *answer; /* packed */
};

static struct answered *answered_at(const struct mn_list *link)
{
    return MN_CONTAINER((uintptr_t)link, struct answered, in_call);
}

static void answered_free(struct front *front, struct answered *answered)
{
    front->answered_size -= answered->answer->size;
    mn_list_remove(&answered->in_call);
    mn_buf_unref(answered->answer);
    mn_free(answered);
}

/* Whether so many bytes more can be kept. */
static bool answered_fits(const struct front_call *call, size_t size)
{
    uint32_t count = 0;

    MN_LIST_FOR_EACH (link, &call->answered) {
        size += answered_at(link)->answer->size;
        count++;
    }
    return count < ANSWERS_MAX && size <= ANSWERS_SIZE;
}

void front_outlive_answered(struct front *front, struct front_call *call,
                            const Meshnode__Gateway__Answer *answer)
{
    struct answered *answered;
    struct mn_buf *packed;

    if (call->session == NULL) return;
    packed = pb_pack(&answer->base);
    if (packed->size > ANSWERS_SIZE || front->answered_size + packed->size > ALL_SIZE) {
        mn_buf_unref(packed);
        return;
    }
    while (!answered_fits(call, packed->size))
        answered_free(front, answered_at(call->answered.next)); /* the oldest got there long ago */
    answered = mn_alloc(sizeof *answered);
    answered->answer = packed;
    front->answered_size += packed->size;
    mn_list_push_back(&call->answered, &answered->in_call);
}

void front_outlive_drop(struct front *front, struct front_call *call)
{
    while (!mn_list_is_empty(&call->answered))
        answered_free(front, answered_at(call->answered.next));
}

/* What the client answered to that; NULL: nothing that is kept. In the scratch memory. */
static Meshnode__Gateway__Answer *outlive_answer(struct front *front, const struct front_call *call,
                                                 struct mn_span key)
{
    MN_LIST_FOR_EACH (link, &call->answered) {
        Meshnode__Gateway__Answer *answer =
            pb_unpack(&meshnode__gateway__answer__descriptor, &front->scratch,
                      mn_buf_span(answered_at(link)->answer));
        if (answer != NULL && mn_span_equal(pb_text(answer->key), key)) return answer;
    }
    return NULL;
}

/* The client has it, and hears us beyond this call. */
static bool outlive_keep(struct front *front, struct front_call *call,
                         struct front_question *question, struct mn_span as)
{
    struct front_question *next;

    if (!front_question_is_heard(call)) return false;
    next = front_aside_new(front, call->session, call->service, &call->node, as);
    if (next == NULL) return false;
    MN_PROBE("front: a question outlives its call");
    front_question_become(front, question, next);
    return true;
}

void front_outlive(struct front *front, struct front_call *call,
                   const Meshnode__Gateway__Outlived *outlived)
{
    struct mn_span key = pb_text(outlived->key), as = pb_text(outlived->as);
    Meshnode__Gateway__Answer none = MESHNODE__GATEWAY__ANSWER__INIT, *answer;
    struct front_question *question;

    if (call->session == NULL) return; /* it was asked nothing in this call */
    question = front_aside_find(call->session, call->service, &call->node, as);
    if (question != NULL && front_question_is_heard(call)) return; /* it stays as it is */
    if (question != NULL) front_question_withdraw(front, call, as);
    question = front_question_find(call, key);
    if (question != NULL && outlive_keep(front, call, question, as)) return;
    answer = question != NULL ? NULL : outlive_answer(front, call, key);
    if (answer == NULL) {
        answer = &none;
        answer->ask_again = true;
        front_question_withdraw(front, call, key);
    } else {
        MN_PROBE("front: an answer and the end of its call crossed");
    }
    answer->key = outlived->as;
    front_aside_emit(front, call->service, &call->node, front_aside_request(call->session, answer));
}

void front_outlive_check(const struct front *front)
{
    size_t size = 0;

    for (struct mn_map_entry *entry = mn_map_next(&front->calls, NULL); entry != NULL;
         entry = mn_map_next(&front->calls, entry))
        MN_LIST_FOR_EACH (link, &MN_CONTAINER(entry, struct front_call, by_ticket)->answered)
            size += answered_at(link)->answer->size;
    MN_ASSERT(size == front->answered_size && size <= ALL_SIZE);
}
