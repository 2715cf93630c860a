/* pb_view.c: decoding without copies, for what travels with every call. protobuf-c copies each
 * field of bytes; results of tools have up to 32 MiB. Its descriptors say what there is to read. */
#include "proto/base/check.h"
#include "proto/pb.h"

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* A field as it stands in the message. */
struct item {
    uint32_t number;
    enum wire wire;
    uint64_t value;       /* of a varint */
    struct mn_span bytes; /* of all others */
};

struct view {
    struct mn_arena *arena;
    size_t left; /* bytes of memory that may still be taken */
};

static void *view_alloc(struct view *view, size_t size)
{
    if (size > view->left) return NULL;
    view->left -= size;
    return mn_arena_alloc(view->arena, size);
}

/* Tags and sizes have at most five bytes, values ten. */
static bool take_varint(struct mn_span *rest, size_t size_max, uint64_t *ret)
{
    uint64_t value = 0;

    for (size_t i = 0; i < rest->size && i < size_max; i++) {
        uint8_t byte = rest->data[i];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte >= 0x80) continue;
        *rest = mn_span(rest->data + i + 1, rest->size - i - 1);
        *ret = value;
        return true;
    }
    return false;
}

static bool take_bytes(struct mn_span *rest, uint64_t size, struct mn_span *ret)
{
    if (size > rest->size) return false;
    *ret = mn_span(rest->data, (size_t)size);
    *rest = mn_span(rest->data + size, rest->size - (size_t)size);
    return true;
}

static bool take_item(struct mn_span *rest, struct item *ret)
{
    uint64_t tag;

    if (!take_varint(rest, 5, &tag) || tag > UINT32_MAX || tag >> 3 == 0) return false;
    ret->number = (uint32_t)(tag >> 3);
    ret->wire = (enum wire)(tag & 7);
    switch (ret->wire) {
    case WIRE_VARINT: return take_varint(rest, 10, &ret->value);
    case WIRE_64: return take_bytes(rest, 8, &ret->bytes);
    case WIRE_32: return take_bytes(rest, 4, &ret->bytes);
    case WIRE_BYTES:
        return take_varint(rest, 5, &ret->value) && take_bytes(rest, ret->value, &ret->bytes);
    }
    return false; /* groups, which nobody writes any more */
}

/* Fields stand in the order of their numbers, as a rule: [*next] is where to look first. */
static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *descriptor,
                                                  uint32_t number, unsigned *next)
{
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        unsigned at =
            *next + i < descriptor->n_fields ? *next + i : *next + i - descriptor->n_fields;
        if (descriptor->fields[at].id != number) continue;
        *next = at;
        return &descriptor->fields[at];
    }
    return NULL;
}

static void *view_message(struct view *view, const ProtobufCMessageDescriptor *descriptor,
                          struct mn_span bytes);

/* Of a fixed32. */
static uint32_t load_32(struct mn_span bytes)
{
    return (uint32_t)bytes.data[0] | (uint32_t)bytes.data[1] << 8 | (uint32_t)bytes.data[2] << 16 |
           (uint32_t)bytes.data[3] << 24;
}

/* Writes the value of [item] to [to], which is as large as the type says. */
static bool view_value(struct view *view, const ProtobufCFieldDescriptor *field,
                       const struct item *item, void *to)
{
    const bool is_long = item->wire == WIRE_BYTES;
    char *text;
    void *message;

    switch ((int)field->type) {
    case PROTOBUF_C_TYPE_BYTES: *(ProtobufCBinaryData *)to = pb_bytes(item->bytes); return is_long;
    case PROTOBUF_C_TYPE_STRING:
        text = is_long ? view_alloc(view, item->bytes.size + 1) : NULL;
        if (text == NULL) return false;
        memcpy(text, item->bytes.data, item->bytes.size);
        text[item->bytes.size] = '\0';
        *(char **)to = text;
        return true;
    case PROTOBUF_C_TYPE_MESSAGE:
        message = is_long ? view_message(view, field->descriptor, item->bytes) : NULL;
        *(void **)to = message;
        return message != NULL;
    case PROTOBUF_C_TYPE_FIXED32:
        if (item->wire != WIRE_32) return false;
        *(uint32_t *)to = load_32(item->bytes);
        return true;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_INT64: *(uint64_t *)to = item->value; break;
    case PROTOBUF_C_TYPE_BOOL: *(protobuf_c_boolean *)to = item->value != 0; break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM: *(uint32_t *)to = (uint32_t)item->value; break;
    default: MN_ASSERT(false && "a type that views have"); return false;
    }
    return item->wire == WIRE_VARINT;
}

static size_t value_size(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : sizeof(void *);
}

/* How often a field stands in what is left of its message. */
static size_t count_items(struct mn_span rest, uint32_t number)
{
    struct item item;
    size_t count = 0;

    while (rest.size > 0 && take_item(&rest, &item))
        count += item.number == number;
    return count;
}

/* [rest] is what follows the item: an array is made once, for all that will go into it. */
static bool view_repeated(struct view *view, const ProtobufCFieldDescriptor *field,
                          const struct item *item, struct mn_span rest, uint8_t *message)
{
    size_t *count = (void *)(message + field->quantifier_offset);
    uint8_t **items = (void *)(message + field->offset);
    size_t size = value_size(field);

    MN_ASSERT(field->type == PROTOBUF_C_TYPE_BYTES || field->type == PROTOBUF_C_TYPE_STRING ||
              field->type == PROTOBUF_C_TYPE_MESSAGE);
    if (*count == 0) {
        size_t all = 1 + count_items(rest, field->id);
        *items = all > view->left / size ? NULL : view_alloc(view, all * size);
        if (*items == NULL) return false;
    }
    return view_value(view, field, item, *items + (*count)++ * size);
}

static bool view_field(struct view *view, const ProtobufCFieldDescriptor *field,
                       const struct item *item, struct mn_span rest, uint8_t *message)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return view_repeated(view, field, item, rest, message);
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
        *(uint32_t *)(void *)(message + field->quantifier_offset) = field->id;
    return view_value(view, field, item, message + field->offset);
}

static void *view_message(struct view *view, const ProtobufCMessageDescriptor *descriptor,
                          struct mn_span bytes)
{
    ProtobufCMessage *message = view_alloc(view, descriptor->sizeof_message);
    struct item item = {0};
    unsigned next = 0;

    if (message == NULL) return NULL;
    protobuf_c_message_init(descriptor, message);
    while (bytes.size > 0) {
        const ProtobufCFieldDescriptor *field;
        if (!take_item(&bytes, &item)) return NULL;
        field = find_field(descriptor, item.number, &next);
        if (field != NULL && !view_field(view, field, &item, bytes, (uint8_t *)message))
            return NULL;
    }
    return message;
}

void *pb_view(const ProtobufCMessageDescriptor *descriptor, struct mn_arena *arena,
              struct mn_span bytes)
{
    struct view view = {arena, 0};

    if (bytes.size > (SIZE_MAX - PB_MEMORY_BASE) / PB_MEMORY_FACTOR) return NULL;
    view.left = PB_MEMORY_BASE + PB_MEMORY_FACTOR * bytes.size;
    return view_message(&view, descriptor, bytes);
}
