// Answers requests with a SavedModel as TF Serving does, by LoadSavedModel and Session::Run, and
// without Python:
//
//     serve MODEL REQUESTS ANSWERS THREADS [LIBRARY...]
//
// The libraries hold the ops that TensorFlow itself lacks. REQUESTS and ANSWERS are TFRecord files
// of NamedTensorProto, a request being named SIGNATURE/INPUT, and an answer
// THREAD/REQUEST/OUTPUT by their numbers. All threads send all requests, each starting with
// another one, so that signatures run side by side.

#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "tensorflow/c/c_api.h"
#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/lib/io/record_reader.h"
#include "tensorflow/core/lib/io/record_writer.h"
#include "tensorflow/core/platform/env.h"
#include "tensorflow/core/protobuf/named_tensor.pb.h"

namespace {

using tensorflow::NamedTensorProto;

struct Request {
  std::string signature;
  std::string input;
  tensorflow::Tensor tensor;
};

void Check(bool good, const std::string& what) {
  if (good) return;
  std::cerr << what << std::endl;
  std::_Exit(1);  // other threads may be running
}

void Check(const absl::Status& status) { Check(status.ok(), status.ToString()); }

void LoadOps(const char* library) {
  TF_Status* status = TF_NewStatus();
  TF_LoadLibrary(library, status);
  Check(TF_GetCode(status) == TF_OK, TF_Message(status));
  TF_DeleteStatus(status);
}

std::vector<Request> ReadRequests(const std::string& path) {
  std::unique_ptr<tensorflow::RandomAccessFile> file;
  Check(tensorflow::Env::Default()->NewRandomAccessFile(path, &file));
  tensorflow::io::SequentialRecordReader reader(file.get());
  std::vector<Request> requests;
  for (tensorflow::tstring record; reader.ReadRecord(&record).ok();) {
    NamedTensorProto named;
    Check(named.ParseFromArray(record.data(), record.size()), "not a NamedTensorProto");
    const size_t slash = named.name().find('/');
    Request request{named.name().substr(0, slash), named.name().substr(slash + 1)};
    Check(request.tensor.FromProto(named.tensor()), "not a tensor: " + named.name());
    requests.push_back(std::move(request));
  }
  return requests;
}

std::vector<NamedTensorProto> Answer(const tensorflow::SavedModelBundleLite& model,
                                     const Request& request, const std::string& prefix) {
  const tensorflow::SignatureDef& signature = model.GetSignatures().at(request.signature);
  std::vector<std::string> names, tensors;
  for (const auto& [name, info] : signature.outputs()) {
    names.push_back(name);
    tensors.push_back(info.name());
  }
  std::vector<tensorflow::Tensor> outputs;
  Check(model.GetSession()->Run({{signature.inputs().at(request.input).name(), request.tensor}},
                                tensors, {}, &outputs));
  std::vector<NamedTensorProto> answers(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    answers[i].set_name(prefix + names[i]);
    outputs[i].AsProtoField(answers[i].mutable_tensor());
  }
  return answers;
}

void Write(const std::string& path, const std::vector<std::vector<NamedTensorProto>>& answers) {
  std::unique_ptr<tensorflow::WritableFile> file;
  Check(tensorflow::Env::Default()->NewWritableFile(path, &file));
  tensorflow::io::RecordWriter writer(file.get());
  for (const auto& of_thread : answers) {
    for (const auto& answer : of_thread) Check(writer.WriteRecord(answer.SerializeAsString()));
  }
  Check(writer.Close());
  Check(file->Close());
}

}  // namespace

int main(int argc, char** argv) {
  Check(argc >= 5, "serve MODEL REQUESTS ANSWERS THREADS [LIBRARY...]");
  for (int i = 5; i < argc; ++i) LoadOps(argv[i]);
  tensorflow::SavedModelBundleLite model;
  Check(tensorflow::LoadSavedModel({}, {}, argv[1], {"serve"}, &model));
  const std::vector<Request> requests = ReadRequests(argv[2]);

  std::vector<std::vector<NamedTensorProto>> answers(std::atoi(argv[4]));
  std::vector<std::thread> threads;
  for (size_t t = 0; t < answers.size(); ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < requests.size(); ++i) {
        const size_t r = (i + t) % requests.size();
        const std::string prefix = std::to_string(t) + "/" + std::to_string(r) + "/";
        for (auto& answer : Answer(model, requests[r], prefix)) {
          answers[t].push_back(std::move(answer));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Write(argv[3], answers);
  return 0;
}
