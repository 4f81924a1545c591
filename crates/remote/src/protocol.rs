//! Messages of the Open Inference Protocol v2, with tensors as JSON or as bytes.

use half::{bf16, f16};
use serde::Deserialize;
use serde_json::{Value, json};

/// The header with the length of the JSON before the bytes of tensors.
pub const JSON_LENGTH: &str = "Inference-Header-Content-Length";

/// An input of 64-bit integers [B, T].
pub struct Input<'a> {
    pub name: &'a str,
    pub data: &'a [i64],
}

/// A request: its body, and the length of its JSON if bytes follow.
pub struct Encoded {
    pub body: Vec<u8>,
    pub json: Option<usize>,
}

/// The metadata of a server.
#[derive(Debug, Deserialize)]
pub struct ServerMetadata {
    #[serde(default)]
    extensions: Vec<String>,
}

impl ServerMetadata {
    /// Whether it takes and returns tensors as bytes.
    pub fn has_binary_tensors(&self) -> bool {
        self.extensions.iter().any(|name| name == "binary_tensor_data")
    }
}

/// The metadata of a model.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    #[serde(default)]
    pub inputs: Vec<TensorMetadata>,
    #[serde(default)]
    pub outputs: Vec<TensorMetadata>,
}

/// The metadata of a tensor.
#[derive(Debug, Deserialize)]
pub struct TensorMetadata {
    pub name: String,
    pub datatype: String,
    /// −1 is any length.
    pub shape: Vec<i64>,
}

#[derive(Deserialize)]
struct Response {
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    data: Option<Value>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    binary_data_size: Option<usize>,
}

/// Encodes a request for the output `output` of inputs of this shape.
pub fn encode(inputs: &[Input<'_>], shape: [usize; 2], output: &str, binary: bool) -> Encoded {
    let tensor = |input: &Input<'_>| {
        let mut made = json!({"name": input.name, "shape": shape, "datatype": "INT64"});
        match binary {
            true => made["parameters"] = json!({"binary_data_size": 8 * input.data.len()}),
            false => made["data"] = json!(input.data),
        }
        made
    };
    let tensors: Vec<Value> = inputs.iter().map(tensor).collect();
    let mut asked = json!({"name": output});
    if binary {
        asked["parameters"] = json!({"binary_data": true});
    }
    let request = json!({"inputs": tensors, "outputs": [asked]});
    let mut body = request.to_string().into_bytes();
    let json = binary.then_some(body.len());
    if binary {
        let numbers = inputs.iter().flat_map(|input| input.data);
        body.extend(numbers.flat_map(|number| number.to_le_bytes()));
    }
    Encoded { body, json }
}

/// The shape and the values of the output `name` of an answer. `json` is the length of its JSON, if bytes follow.
///
/// # Errors
/// What is wrong with the answer.
pub fn decode(
    body: &[u8],
    json: Option<usize>,
    name: &str,
) -> Result<(Vec<usize>, Vec<f32>), String> {
    let (text, mut bytes) = match json {
        None => (body, &[][..]),
        Some(length) => {
            body.split_at_checked(length).ok_or("it is shorter than its header says")?
        }
    };
    let response: Response = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    for output in response.outputs {
        let size = output.parameters.as_ref().and_then(|parameters| parameters.binary_data_size);
        let own = match size {
            None => &[][..],
            Some(size) => {
                let (own, rest) =
                    bytes.split_at_checked(size).ok_or("a tensor has too few bytes")?;
                bytes = rest;
                own
            }
        };
        if output.name != name {
            continue;
        }
        let values = match (size, &output.data) {
            (Some(_), _) => from_bytes(own, &output.datatype)?,
            (None, Some(data)) => from_json(data)?,
            (None, None) => return Err(format!("the output `{name}` has no data")),
        };
        let expected = output.shape.iter().product::<usize>();
        if values.len() != expected {
            let (got, shape) = (values.len(), &output.shape);
            return Err(format!("the output `{name}` has {got} numbers, and the shape {shape:?}"));
        }
        return Ok((output.shape, values));
    }
    Err(format!("it has no output `{name}`"))
}

fn from_bytes(bytes: &[u8], datatype: &str) -> Result<Vec<f32>, String> {
    fn each<const N: usize>(
        bytes: &[u8],
        number: impl Fn([u8; N]) -> f32,
    ) -> Result<Vec<f32>, String> {
        let (numbers, rest) = bytes.as_chunks::<N>();
        match rest.is_empty() {
            true => Ok(numbers.iter().copied().map(number).collect()),
            false => Err("a tensor ends within a number".to_owned()),
        }
    }
    match datatype {
        "FP32" => each(bytes, f32::from_le_bytes),
        "FP16" => each(bytes, |number| f16::from_le_bytes(number).to_f32()),
        "BF16" => each(bytes, |number| bf16::from_le_bytes(number).to_f32()),
        "FP64" => each(bytes, |number| f64::from_le_bytes(number) as f32),
        other => Err(format!("expected numbers of type FP32, FP16, BF16 or FP64, got {other}")),
    }
}

/// Numbers, flat or nested.
fn from_json(data: &Value) -> Result<Vec<f32>, String> {
    fn add(data: &Value, numbers: &mut Vec<f32>) -> Result<(), String> {
        match data {
            Value::Array(parts) => parts.iter().try_for_each(|part| add(part, numbers)),
            Value::Number(number) => {
                numbers.push(number.as_f64().unwrap_or(f64::NAN) as f32);
                Ok(())
            }
            other => Err(format!("expected numbers as data, got {other}")),
        }
    }
    let mut numbers = Vec::new();
    add(data, &mut numbers)?;
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_tensors_as_json_or_as_bytes() {
        let inputs = [Input { name: "input_ids", data: &[1, -2] }];
        let plain = encode(&inputs, [1, 2], "logits", false);
        let body: Value = serde_json::from_slice(&plain.body).unwrap();
        assert_eq!((plain.json, &body["inputs"][0]["data"]), (None, &json!([1, -2])));
        assert_eq!(body["inputs"][0]["shape"], json!([1, 2]));
        let binary = encode(&inputs, [1, 2], "logits", true);
        let (text, bytes) = binary.body.split_at(binary.json.unwrap());
        let head: Value = serde_json::from_slice(text).unwrap();
        assert_eq!(head["inputs"][0]["parameters"]["binary_data_size"], 16);
        assert_eq!(bytes, [1, 0, 0, 0, 0, 0, 0, 0, 254, 255, 255, 255, 255, 255, 255, 255]);
    }

    #[test]
    fn answers_are_read_in_every_form() {
        let json = |data: Value| {
            json!({"outputs": [{"name": "other", "shape": [1], "datatype": "FP32", "data": [9]},
            {"name": "logits", "shape": [1, 2, 1], "datatype": "FP32", "data": data}]})
            .to_string()
        };
        for data in [json!([0.5, -1]), json!([[[0.5], [-1]]])] {
            let read = decode(json(data).as_bytes(), None, "logits");
            assert_eq!(read, Ok((vec![1, 2, 1], vec![0.5, -1.0])));
        }
        let numbers: [(&str, Vec<u8>); 3] = [
            ("FP32", [0.5f32, -1.0].iter().flat_map(|n| n.to_le_bytes()).collect()),
            ("FP16", [0.5, -1.0].iter().flat_map(|&n| f16::from_f32(n).to_le_bytes()).collect()),
            ("BF16", [0.5, -1.0].iter().flat_map(|&n| bf16::from_f32(n).to_le_bytes()).collect()),
        ];
        for (datatype, bytes) in numbers {
            let parameters = json!({"binary_data_size": bytes.len()});
            let output = json!({"name": "logits", "shape": [2], "datatype": datatype, "parameters": parameters});
            let head = json!({"outputs": [{"name": "a", "shape": [1], "datatype": "INT8", "parameters": {"binary_data_size": 1}}, output]});
            let mut body = head.to_string().into_bytes();
            let length = body.len();
            body.push(7);
            body.extend(&bytes);
            assert_eq!(decode(&body, Some(length), "logits"), Ok((vec![2], vec![0.5, -1.0])));
            assert!(decode(&body[..body.len() - 1], Some(length), "logits").is_err());
        }
    }

    #[test]
    fn wrong_answers_are_explained() {
        for (body, reason) in [
            ("{}", "outputs"),
            (r#"{"outputs": []}"#, "no output `logits`"),
            (
                r#"{"outputs": [{"name": "logits", "shape": [3], "datatype": "FP32", "data": [1]}]}"#,
                "shape [3]",
            ),
            (r#"{"outputs": [{"name": "logits", "shape": [1], "datatype": "FP32"}]}"#, "no data"),
            (
                r#"{"outputs": [{"name": "logits", "shape": [1], "datatype": "FP32", "data": ["a"]}]}"#,
                "numbers",
            ),
        ] {
            let error = decode(body.as_bytes(), None, "logits").unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        assert!(decode(b"{}", Some(5), "logits").unwrap_err().contains("shorter"));
    }
}
