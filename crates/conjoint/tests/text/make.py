"""Writes small tokenizers in the layouts of published checkpoints, and what transformers makes of 220 texts and of chats.

    python make.py        # with transformers, tokenizers and jinja2; the versions are written into cases.json

The tests beside this file compare `conjoint` with it.
"""

import json
import os
import random
import shutil

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertTokenizerFast, PreTrainedTokenizerFast, Qwen2Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TRAINING = [
    "a tale of two owls in the old town, and what the third said when it came back",
    "for n in range(12):\n    total += n * 3\n",
    "user assistant system answer: 42 is not 17 café naïve",
]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|mask|>", "<|pad|>"]

TEXTS = [
    "two owls came back",
    "def f(x):\n    return x + 1\n\n\n  y",
    "2026 3.14 1,000",
    "  spaces before and after  ",
    "I'm sure they'LL say it's NOT we'd",
    "東京は雨です 서울 北京",
    "🦉🦉 ok 👩‍🔬 🇫🇷",
    "cafe\u0301 nai\u0308ve A\u030a",
    "café naïve Å",
    "tab\tand\r\nreturn",
    "<|im_start|>user\nhi<|im_end|>\n",
    "<tool>{}</tool>",
    "x<|im_start|>y",
    "<|im_start",
    "مرحبا بالعالم",
    "a\u200db\ufeffc\u00ad",
    "𝓗𝓮𝓵𝓵𝓸 𝟙𝟚",
    "\n\n\n",
    "a\u00a0b\u2003c",
    "ﬁne Ǆ ß İ ı",
]
PIECES = [
    "owl", " town", "The", "  ", "\n", "\t", "'s", "'LL", "12", "7", ".", ", ", "—", "é", "e\u0301", "ü", "ß", "日本", "한", "🦉", "👍🏽",
    "\u200d", "\u00a0", "<|im_end|>", "<|mask|>", " <|pad|> ", "<tool>", "<left> ", " <right>", " <word>", "a<word>b", "[MASK]", "{}", "\\n",
    "ﬁ", "Ω", "Å", "\r\n", "…", "x_1", "==", "http://a.b/c?d=e", "ا", "ש", "\u0301",
]


def texts():
    pick = random.Random(7)
    made = ["".join(pick.choice(PIECES) for _ in range(pick.randint(1, 9))) for _ in range(200)]
    return TEXTS + made


def byte_level():
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    made.train_from_iterator(TRAINING * 10, trainer)
    return made


def dump(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1)
        file.write("\n")


def fresh(name):
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder


def flags(content, special, **more):
    given = dict(content=content, lstrip=False, rstrip=False, single_word=False, normalized=False, special=special)
    return {**given, **more}


ADDED = [flags(content, True) for content in SPECIAL] + [
    flags("<tool>", False),
    flags("</tool>", False, normalized=True),
    flags("<left>", True, lstrip=True),
    flags("<right>", True, rstrip=True),
    flags("<word>", False, single_word=True),
]


def write_slow(name, legacy):
    folder, made = fresh(name), byte_level()
    model = json.loads(made.to_str())["model"]
    dump(folder, "vocab.json", model["vocab"])
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in model["merges"]))
    first = len(model["vocab"])
    config = {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>", "unk_token": None}
    config["clean_up_tokenization_spaces"] = False
    if legacy:
        dump(folder, "added_tokens.json", {token["content"]: first + at for at, token in enumerate(ADDED)})
        roles = {"eos_token": "<|endoftext|>", "mask_token": "<|mask|>", "pad_token": "<|pad|>"}
        roles["additional_special_tokens"] = ["<|im_start|>", "<|im_end|>"]
        dump(folder, "special_tokens_map.json", roles)
    else:
        config["added_tokens_decoder"] = {str(first + at): token for at, token in enumerate(ADDED)}
        config["mask_token"] = "<|mask|>"
    dump(folder, "tokenizer_config.json", config)
    return folder, Qwen2Tokenizer.from_pretrained(folder)


def write_fast(name):
    """As training scripts save it: with truncation and padding on; and with a token before every text."""
    folder, made = fresh(name), byte_level()
    made.add_tokens([AddedToken(**token) for token in ADDED])
    first = made.token_to_id("<|endoftext|>")
    made.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", first)]
    )
    made.enable_truncation(3)
    made.enable_padding(length=16, pad_id=made.token_to_id("<|pad|>"), pad_token="<|pad|>")
    made.save(os.path.join(folder, "tokenizer.json"), pretty=False)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>", "mask_token": "<|mask|>"}
    dump(folder, "tokenizer_config.json", config)
    return folder, PreTrainedTokenizerFast.from_pretrained(folder)


def write_word_piece(name, lower):
    folder = fresh(name)
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] owl town the two came back cafe naive user answer it".split()
    letters = sorted(set("abcdefghijklmnopqrstuvwxyz0123456789.,'(){}<>|=_:/?-—é日本"))
    words += letters + ["##" + letter for letter in letters] + ["##s", "##ing"]
    words = list(dict.fromkeys(words if lower else words + ["The", "Owl", "I"]))
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(words) + "\n")
    dump(folder, "tokenizer_config.json", {"do_lower_case": lower, "tokenizer_class": "BertTokenizer"})
    return folder, BertTokenizerFast.from_pretrained(folder, do_lower_case=lower)


def encoded(tokenizer, text):
    bare = tokenizer(text, add_special_tokens=False)["input_ids"]
    whole = tokenizer(text)["input_ids"]
    around = len(whole) - len(bare)
    assert any(whole[at : at + len(bare)] == bare for at in range(around + 1)), (text, bare, whole)
    return {"text": text, "ids": bare, "framed": whole, "decoded": tokenizer.decode(bare, clean_up_tokenization_spaces=False)}


# Templates in the forms of published ones, in words of our own.
CHATML = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] + '\\n\\n' }}
    {%- endif %}
    {{- 'You may call:\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson }}
        {{- '\\n' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- elif messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last_user=-1) %}
{%- for message in messages[::-1] %}
    {%- if ns.last_user == -1 and message.role == 'user' and message.content is string %}
        {%- set ns.last_user = (messages | length - 1) - loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == 'user') or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set content = message.content %}
        {%- set thought = '' %}
        {%- if '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if thought and loop.index0 > ns.last_user %}{{- '<think>\\n' + thought + '\\n</think>\\n\\n' }}{%- endif %}
        {% generation %}{{- content }}{% endgeneration %}
        {%- if message.tool_calls is defined and message.tool_calls %}
            {%- for call in message.tool_calls %}
                {%- if call.function is defined %}{%- set call = call.function %}{%- endif %}
                {{- '\\n<call>' }}{{- {'name': call.name, 'arguments': call.arguments} | tojson }}{{- '</call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<result>' ~ message.content ~ '</result>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}
"""
HEADERS = """{{ bos_token }}{% set found = messages[0]['role'] == 'system' %}
{% for m in messages if m['content'] is not none %}
{% set text = '<|start|>' + m['role'] + '<|end|>\\n\\n' + m['content'] | trim + '<|stop|>' %}
{{ text }}
{% endfor %}
{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>\\n\\n' }}{% else %}{{ eos_token }}{% endif %}
"""
STRICT = """{% if messages[0].role == 'system' %}{% set said = messages[0].content %}{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}
{% for m in rest %}
{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must take turns: user, assistant, user') }}{% endif %}
{% if m.role == 'user' %}[ASK] {% if loop.last and said is defined %}{{ said ~ '\\n\\n' }}{% endif %}{{ m.content.strip() }} [/ASK]{% else %} {{ m.content }}{{ eos_token }}{% endif %}
{% endfor %}
"""
PARTS = """{% macro show(content) %}{% if content is string %}{{ content }}{% else %}{% for part in content %}{% if part.type == 'text' %}{{ part.text }}{% else %}<{{ part.type }}>{% endif %}{% endfor %}{% endif %}{% endmacro %}
{% for m in messages %}{{ loop.index }}/{{ messages | length }} {{ m.role | upper }}: {{ show(m.content) }}{{ '; ' if not loop.last else '' }}{% endfor %}
{{ messages | map(attribute='role') | join(',') }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }}
{% for key, value in (documents or [{}])[0].items() %}{{ key }}={{ value }} {% endfor %}{{ messages | tojson(indent=2) }}
"""


def chats():
    user, assistant = {"role": "user", "content": " Who came back?\n"}, {"role": "assistant", "content": "Two owls."}
    system = {"role": "system", "content": "Be brief."}
    thinking = {"role": "assistant", "content": "<think>\nowls?\n</think>\n\nThe third."}
    calling = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": "count", "arguments": {"of": "owls", "é": [1, 2.5, None, True]}}}],
    }
    result = {"role": "tool", "content": "3"}
    tools = [{"type": "function", "function": {"name": "count", "description": "Counts <things> & \"more\"", "parameters": {"of": "string"}}}]
    parts = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}
    several = [[user], [system, user], [system, user, assistant, user], [user, thinking], [user, thinking, user, thinking]]
    for name, template in (("chatml", CHATML), ("headers", HEADERS), ("strict", STRICT), ("parts", PARTS)):
        for messages in several:
            yield name, template, messages, {}
    yield "strict", STRICT, [user, user], {}
    yield "parts", PARTS, [parts, assistant], {"documents": [{"title": "Owls", "year": 2026}]}
    yield "chatml", CHATML, [user], {"enable_thinking": False}
    yield "chatml", CHATML, [system, user, calling, result, result, assistant, user], {"tools": tools}
    yield "chatml", CHATML, [user, calling, result], {"tools": tools}


def rendered(tokenizer):
    for name, template, messages, arguments in chats():
        for begin in (True, False):
            as_json = {key: json.dumps(value, ensure_ascii=False) for key, value in arguments.items()}
            case = {"template": name, "messages": messages, "arguments": as_json, "begin_answer": begin}
            try:
                case["text"] = tokenizer.apply_chat_template(
                    messages, chat_template=template, tokenize=False, add_generation_prompt=begin, **arguments
                )
            except Exception as error:
                case["rejected"] = str(error)
            yield case


def main():
    layouts = {
        "slow": write_slow("slow", legacy=False),
        "legacy": write_slow("legacy", legacy=True),
        "fast": write_fast("fast"),
        "word-piece": write_word_piece("word-piece", lower=True),
        "word-piece-cased": write_word_piece("word-piece-cased", lower=False),
    }
    cases = {name: [encoded(tokenizer, text) for text in texts()] for name, (_, tokenizer) in layouts.items()}
    made_by = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}
    chat = layouts["fast"][1]
    chat.bos_token = "<s>"
    templates = {"chatml": CHATML, "headers": HEADERS, "strict": STRICT, "parts": PARTS}
    with open(os.path.join(HERE, "cases.json"), "w", encoding="utf-8") as file:
        json.dump({"made_by": made_by, "layouts": cases}, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")
    dump(HERE, "chats.json", {"made_by": made_by, "templates": templates, "bos_token": "<s>", "eos_token": "<|endoftext|>", "cases": list(rendered(chat))})


main()
