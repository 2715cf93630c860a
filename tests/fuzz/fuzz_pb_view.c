/* Decoding without copies: whatever the bytes, it reads what protobuf-c reads, or nothing. The
 * first byte says what they are meant to be. */
#include <stdlib.h>

#include "proto/callwire.pb-c.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

/* Without messages inside that protobuf-c merges when they stand twice: repeated ones it does not.
 */
static const ProtobufCMessageDescriptor *const compared[] = {
    &meshnode__gateway__request__descriptor,
    &meshnode__callwire__header__descriptor,
    &meshnode__gateway__wishes__descriptor,
};

/* protobuf-c keeps them, also in messages inside. */
static void forget_unknown(ProtobufCMessage *message)
{
    message->n_unknown_fields = 0;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        uint8_t *base = (uint8_t *)message;
        ProtobufCMessage **items;
        size_t count;
        if (field->type != PROTOBUF_C_TYPE_MESSAGE || field->label != PROTOBUF_C_LABEL_REPEATED)
            continue;
        memcpy(&count, base + field->quantifier_offset, sizeof count);
        memcpy(&items, base + field->offset, sizeof items);
        for (size_t k = 0; k < count; k++)
            forget_unknown(items[k]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const ProtobufCMessageDescriptor *descriptor;
    struct mn_arena arena = {0};
    struct mn_span bytes;
    const ProtobufCMessage *ours;
    ProtobufCMessage *theirs;

    if (size == 0) return 0;
    descriptor = compared[data[0] % (sizeof compared / sizeof *compared)];
    bytes = mn_span(data + 1, size - 1);
    (void)pb_view(&meshnode__gateway__event__descriptor, &arena, bytes);
    (void)pb_view(&meshnode__gateway__input__descriptor, &arena, bytes);
    (void)pb_view(&meshnode__gateway__offer__descriptor, &arena, bytes);
    ours = pb_view(descriptor, &arena, bytes);
    theirs = pb_unpack(descriptor, &arena, bytes);
    if (ours != NULL) {
        if (theirs == NULL) abort();
        forget_unknown(theirs);
        if (!mn_span_equal(pb_pack_arena(theirs, &arena), pb_pack_arena(ours, &arena))) abort();
    }
    mn_arena_done(&arena);
    return 0;
}
