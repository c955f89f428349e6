// A network's scores become a label map in which every pixel keeps to what its existing label allows.
//
//     cc segment.c -I <prefix>/include -L <prefix>/lib -Wl,-rpath,<prefix>/lib -llsu -o segment
#include <lsu/constrained_argmax.h>
#include <stdio.h>

enum { CLASSES = 3, SCORE_ROWS = 2, SCORE_COLUMNS = 4, ROWS = 8, COLUMNS = 24 };
enum { SKY, ROAD, CAR };            // what the network knows
enum { UNKNOWN, GROUND, VEHICLE };  // what the existing labels say

// The network's own low resolution: sky above, road below, a car on the right.
static const float scores[CLASSES][SCORE_ROWS][SCORE_COLUMNS] = {
    [SKY] = {{4, 4, 3, 1}, {0, 0, 0, 0}},
    [ROAD] = {{0, 0, 0, 1}, {3, 3, 2, 1}},
    [CAR] = {{0, 0, 1, 2}, {0, 0, 2, 4}},
};

// Bit c of row y: label y allows class c. Rows that are not named allow nothing; 255 is the row of void
// labels.
static const uint64_t table[LSU_COUNTED_LABELS][1] = {
    [UNKNOWN] = {1u << SKY | 1u << ROAD | 1u << CAR},
    [GROUND] = {1u << SKY | 1u << ROAD},
    [VEHICLE] = {1u << CAR},
};

static uint8_t label_at(int row, int column) {
    if (row == ROWS - 1) return LSU_VOID;  // the bonnet of the car that carries the camera
    if (column >= 20) return GROUND;
    return row >= 4 && row < 6 && column >= 4 && column < 8 ? VEHICLE : UNKNOWN;
}

static void print_map(uint8_t classes[ROWS][COLUMNS]) {
    for (int row = 0; row < ROWS; ++row) {
        for (int column = 0; column < COLUMNS; ++column) {
            const uint8_t id = classes[row][column];
            putchar(id == LSU_VOID ? '.' : "src"[id]);
        }
        putchar('\n');
    }
}

static void print_counts(int64_t counts[LSU_COUNTED_LABELS][3]) {
    for (int label = 0; label < LSU_COUNTED_LABELS; ++label) {
        const int64_t* row = counts[label];
        if (row[0] + row[1] + row[2] == 0) continue;
        printf("label %d: %lld forced, %lld chosen, %lld void\n", label, (long long)row[0], (long long)row[1],
               (long long)row[2]);
    }
}

int main(void) {
    static uint8_t labels[ROWS][COLUMNS];
    static uint8_t classes[ROWS][COLUMNS];
    static int64_t counts[LSU_COUNTED_LABELS][3];
    for (int row = 0; row < ROWS; ++row)
        for (int column = 0; column < COLUMNS; ++column) labels[row][column] = label_at(row, column);

    const lsu_head_input input = {
        .scores = scores,
        .labels = &labels[0][0],
        .table = &table[0][0],
        .batch = 1,
        .channels = CLASSES,
        .score_height = SCORE_ROWS,
        .score_width = SCORE_COLUMNS,
        .table_rows = LSU_COUNTED_LABELS,
        .height = ROWS,
        .width = COLUMNS,
        .canvas_height = ROWS,
        .canvas_width = COLUMNS,
        .void_channel = LSU_NO_VOID_CHANNEL,
        .margin_scale = 1.0f,
        .score_type = LSU_FLOAT32,
    };
    const lsu_head_output output = {.classes = &classes[0][0], .counts = &counts[0][0]};

    lsu_head* head;
    lsu_status status = lsu_head_create(2, LSU_AUTO, &head);
    if (status == LSU_OK) status = lsu_head_run(head, &input, &output);
    lsu_head_destroy(head);
    if (status != LSU_OK) {
        fprintf(stderr, "%s\n", lsu_status_text(status));
        return 1;
    }
    print_map(classes);
    print_counts(counts);
    return 0;
}
