// Greedy sampling of a masked diffusion model with llama.cpp, to race `conjoint bench` against.
//
//   loop MODEL.gguf REPORT.json OUT.json [--block-length B] [--steps N] [--flash-attention off] [--logits FILE]
//   loop --quantize IN.gguf OUT.gguf q8_0|q4_0
//
// Does the work of a report of `conjoint bench --json`: the same prompts, lengths, K and number of threads. A step decodes the
// whole sequence with all logits, as llama.cpp's own diffusion command does, and reveals the K masked positions of the current
// block whose rows have the lowest entropy, each with its most probable token. Row i of Dream predicts position i + 1.
// --flash-attention off computes attention in float32: llama.cpp's flash attention, its default, rounds keys and values to float16.
// --logits writes the logits of the first forward as float32 [T, V].
#include "llama.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

using json = nlohmann::json;

static double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Row {
    float entropy;
    llama_token best;
};

// Entropy and most probable token of a row of logits. The mask is never drawn.
static Row row_of(float * logits, int size, llama_token mask) {
    logits[mask] = -1e30f;
    const int best = int(std::max_element(logits, logits + size) - logits);
    const float top = logits[best];
    float sum = 0, weighted = 0;
#pragma omp simd reduction(+ : sum, weighted)
    for (int i = 0; i < size; i++) {
        const float x = std::max(logits[i] - top, -80.0f), p = std::exp(x);
        sum += p;
        weighted += p * x;
    }
    return {std::log(sum) - weighted / sum, best};
}

struct Loop {
    llama_context * context;
    llama_token mask;
    int size, threads, block, steps;
    std::string logits_file;
    double forward_seconds = 0;
    int forwards = 0;

    // Logits [T, V].
    float * forward(const std::vector<llama_token> & tokens) {
        const double start = now();
        llama_batch batch = llama_batch_init(int(tokens.size()), 0, 1);
        batch.n_tokens = int(tokens.size());
        for (int i = 0; i < batch.n_tokens; i++) {
            batch.token[i] = tokens[i];
            batch.pos[i] = i;
            batch.n_seq_id[i] = 1;
            batch.seq_id[i][0] = 0;
            batch.logits[i] = 1;
        }
        if (llama_decode(context, batch) != 0) {
            throw std::runtime_error("llama_decode failed");
        }
        float * logits = llama_get_logits(context);  // waits for the result
        llama_batch_free(batch);
        forward_seconds += now() - start;
        forwards++;
        if (!logits_file.empty()) {
            std::ofstream(logits_file, std::ios::binary).write((char *) logits, sizeof(float) * size * tokens.size());
            logits_file.clear();
        }
        return logits;
    }

    std::vector<llama_token> generate(std::vector<llama_token> tokens, int length, int k) {
        const int begin = int(tokens.size());
        tokens.resize(begin + length, mask);
        for (int start = begin, step = 0; start < int(tokens.size()); start += block) {
            const int end = std::min(start + block, int(tokens.size()));
            for (std::vector<int> masked; step != steps; step++) {
                masked.clear();
                for (int i = start; i < end; i++) {
                    if (tokens[i] == mask) masked.push_back(i);
                }
                if (masked.empty()) break;
                float * logits = forward(tokens);
                std::vector<Row> rows(masked.size());
#pragma omp parallel for num_threads(threads)
                for (int i = 0; i < int(masked.size()); i++) {
                    rows[i] = row_of(logits + size_t(std::max(masked[i] - 1, 0)) * size, size, mask);
                }
                std::vector<int> order(masked.size());
                std::iota(order.begin(), order.end(), 0);
                std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return rows[a].entropy < rows[b].entropy; });
                order.resize(std::min(order.size(), size_t(k)));
                for (int i : order) tokens[masked[i]] = rows[i].best;
            }
        }
        return tokens;
    }
};

static int quantize(const std::string & in, const std::string & out, const std::string & kind) {
    llama_model_quantize_params params = llama_model_quantize_default_params();
    if (kind != "q8_0" && kind != "q4_0") throw std::runtime_error("invalid kind `" + kind + "`: expected q8_0 or q4_0");
    params.ftype = kind == "q8_0" ? LLAMA_FTYPE_MOSTLY_Q8_0 : LLAMA_FTYPE_MOSTLY_Q4_0;
    return int(llama_model_quantize(in.c_str(), out.c_str(), &params));
}

int main(int argc, char ** argv) try {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    llama_log_set([](ggml_log_level level, const char * text, void *) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
    }, nullptr);
    llama_backend_init();
    if (arguments.size() == 4 && arguments[0] == "--quantize") return quantize(arguments[1], arguments[2], arguments[3]);
    if (arguments.size() < 3 || arguments.size() % 2 == 0) throw std::runtime_error("expected MODEL.gguf REPORT.json OUT.json [--FLAG VALUE]…");
    json flags = json::object();
    for (size_t i = 3; i < arguments.size(); i += 2) flags[arguments[i]] = arguments[i + 1];
    const auto number = [&](const char * flag, int otherwise) {
        return flags.contains(flag) ? std::stoi(flags[flag].get<std::string>()) : otherwise;
    };
    const json report = json::parse(std::ifstream(arguments[1]));
    const int length = report["gen_length"], total = int(report["prompt_length"]) + length, threads = report["threads"];

    llama_model * model = llama_model_load_from_file(arguments[0].c_str(), llama_model_default_params());
    if (!model) throw std::runtime_error("cannot load " + arguments[0]);
    llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = total;
    params.n_threads = params.n_threads_batch = threads;
    if (flags.value("--flash-attention", "auto") == "off") params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    llama_context * context = llama_init_from_model(model, params);
    if (!context) throw std::runtime_error("cannot make a context of " + std::to_string(total) + " positions");
    llama_set_causal_attn(context, false);
    const llama_vocab * vocab = llama_model_get_vocab(model);
    char mask[32];
    if (llama_model_meta_val_str(model, "tokenizer.ggml.mask_token_id", mask, sizeof mask) < 0) throw std::runtime_error("the model has no mask token");
    Loop loop{context, std::stoi(mask), llama_vocab_n_tokens(vocab), threads, number("--block-length", length), number("--steps", -1), flags.value("--logits", "")};
    std::vector<llama_token> canvas = report["prompts"][0];
    canvas.resize(total, loop.mask);
    loop.forward(canvas);  // warm up

    json runs = json::array();
    for (const json & run : report["runs"]) {
        const std::string setting = run["setting"];
        if (setting.rfind("K = ", 0) != 0) throw std::runtime_error("invalid setting `" + setting + "`: expected K");
        loop.forwards = 0, loop.forward_seconds = 0;
        std::vector<std::vector<llama_token>> sequences;
        const double start = now();
        for (const json & prompt : report["prompts"]) sequences.push_back(loop.generate(prompt, length, std::stoi(setting.substr(4))));
        const double seconds = now() - start;
        long tokens = 0;
        for (const auto & sequence : sequences) tokens += length - long(std::count(sequence.begin(), sequence.end(), loop.mask));
        runs.push_back({{"strategy", "marginal"}, {"setting", setting}, {"tokens", tokens}, {"seconds", seconds}, {"all_seconds", {seconds}},
            {"forwards", loop.forwards}, {"sampler_passes", 0}, {"forward_seconds", loop.forward_seconds / loop.forwards}, {"rows", long(loop.forwards) * total}, {"sequences", sequences}});
    }
    std::ofstream(arguments[2]) << json{{"program", "llama.cpp"}, {"threads", threads}, {"steps", loop.steps < 0 ? json() : json(loop.steps)}, {"mask", loop.mask}, {"runs", runs}};
    llama_free(context);
    llama_model_free(model);
    llama_backend_free();
    return 0;
} catch (const std::exception & error) {
    std::fprintf(stderr, "loop: %s\n", error.what());
    return 1;
}
