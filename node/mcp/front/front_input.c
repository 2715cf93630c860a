/* Large answers of clients to what a server asked are copied for the mesh in slices, one per tick,
 * for a copy of many megabytes would hold up everybody else. The question is over meanwhile. */
#include "node/mcp/front/front_asked.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define INPUT_SLICE ((size_t)64 << 10) /* bytes of one tick */
#define ANSWER_IN_INPUT 1              /* fields of gateway.proto */
#define ANSWER_IN_REQUEST 17
#define RESULT_IN_ANSWER 2

struct front_input {
    struct mn_list link;           /* in front->inputs */
    const struct front_call *call; /* whose server asked; NULL: outside of calls; then this one: */
    struct mn_buf *service;
    mn_id node;
    struct mn_buf *source; /* the body that it came in */
    struct pieces result;
    size_t at; /* in it */
    struct mn_writer payload;
};

static bool input_has(const struct front *front, struct mn_list *link, const struct mn_buf *source)
{
    return link != &front->inputs && MN_CONTAINER(link, struct front_input, link)->source == source;
}

/* Whether another answer came in the same body, which counts once: those of one stand together. */
static bool input_is_shared(const struct front *front, const struct front_input *input)
{
    return input_has(front, input->link.prev, input->source) ||
           input_has(front, input->link.next, input->source);
}

/* What stands before the result: [answer] without it, within [payload] as its field [field]. */
static void input_begin(struct front_input *input, uint32_t field,
                        const Meshnode__Gateway__Answer *answer)
{
    uint8_t outer[PB_BYTES_HEAD_MAX], inner[PB_BYTES_HEAD_MAX];
    struct mn_buf *head = pb_pack(&answer->base);
    size_t result_size = pieces_size(&input->result);
    size_t inner_size = pb_bytes_head(RESULT_IN_ANSWER, result_size, inner);
    size_t outer_size = pb_bytes_head(field, head->size + inner_size + result_size, outer);

    mn_writer_reserve(&input->payload, outer_size + head->size + inner_size + result_size);
    mn_writer_add(&input->payload, mn_span(outer, outer_size));
    mn_writer_add(&input->payload, mn_buf_span(head));
    mn_writer_add(&input->payload, mn_span(inner, inner_size));
    mn_buf_unref(head);
}

void front_input_begin(struct front *front, const struct front_question *question,
                       const Meshnode__Gateway__Answer *answer, struct pieces *result)
{
    struct front_input *input = mn_alloc(sizeof *input);
    struct mn_buf *request;

    MN_PROBE("front: a large answer to a question");
    MN_ASSERT(answer->how_case == MESHNODE__GATEWAY__ANSWER__HOW__NOT_SET);
    input->call = question->call;
    input->source = mn_buf_ref(result->source);
    input->result = *result;
    *result = (struct pieces){0};
    if (question->call == NULL) {
        input->service = mn_buf_copy(question->service);
        input->node = question->node;
        request = front_aside_request(question->session, NULL);
        mn_writer_add(&input->payload, mn_buf_span(request));
        mn_buf_unref(request);
    }
    input_begin(input, question->call == NULL ? ANSWER_IN_REQUEST : ANSWER_IN_INPUT, answer);
    mn_list_push_back(&front->inputs, &input->link);
    if (!input_is_shared(front, input)) front->bodies_size += input->source->size;
}

static void input_free(struct front *front, struct front_input *input)
{
    if (!input_is_shared(front, input)) front->bodies_size -= input->source->size;
    mn_list_remove(&input->link);
    pieces_drop(&input->result);
    mn_writer_drop(&input->payload);
    mn_buf_unref(input->source);
    mn_buf_unref(input->service);
    mn_free(input);
}

void front_input_drop(struct front *front, const struct front_call *call)
{
    MN_LIST_FOR_EACH_SAFE (link, &front->inputs) {
        struct front_input *input = MN_CONTAINER(link, struct front_input, link);
        if (input->call == call) input_free(front, input);
    }
}

/* A slice of the one that has waited longest. */
void front_input_on_tick(struct front *front)
{
    struct front_input *input;
    struct mn_buf *payload;

    if (mn_list_is_empty(&front->inputs)) return;
    input = MN_CONTAINER(front->inputs.next, struct front_input, link);
    if (!pieces_copy(&input->result, &input->at, INPUT_SLICE, false, &input->payload)) return;
    payload = mn_writer_done(&input->payload);
    if (input->call == NULL)
        front_aside_emit(front, mn_buf_span(input->service), &input->node, payload);
    else
        call_emit(front->outbox->calls, CALL_MESSAGE_INPUT)->more =
            (struct call_more){input->call->ticket, payload};
    input_free(front, input);
}

size_t front_input_size(const struct front *front)
{
    size_t size = 0;

    MN_LIST_FOR_EACH (link, &front->inputs) {
        const struct mn_buf *source = MN_CONTAINER(link, struct front_input, link)->source;
        if (!input_has(front, link->next, source)) size += source->size;
    }
    return size;
}
