// The floor that C++ gRPC has on this machine: it answers every unary call with the bytes of its
// request. Built by `checklane bench peers` against the system's libgrpc++, and used by nothing
// else. One completion queue and one thread, as one core is all that it gets.
//
// Usage: echo_server ADDRESS   (prints "serving" when it does; ends with its standard input)
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>
#include <thread>

namespace {

// One call from its arrival to its end: each event of the queue moves it one step.
class Call {
 public:
  Call(grpc::AsyncGenericService *service, grpc::ServerCompletionQueue *queue)
      : service_(service), queue_(queue), stream_(&context_) {
    service_->RequestCall(&context_, &stream_, queue_, queue_, this);
  }

  void Step(bool is_ok) {
    switch (step_++) {
      case 0:
        if (!is_ok) break;
        new Call(service_, queue_);
        stream_.Read(&bytes_, this);
        return;
      case 1:
        if (is_ok) {
          stream_.WriteAndFinish(bytes_, grpc::WriteOptions(), grpc::Status::OK, this);
        } else {
          stream_.Finish(grpc::Status(grpc::StatusCode::INTERNAL, "no request"), this);
        }
        return;
      default:
        break;
    }
    delete this;
  }

 private:
  grpc::AsyncGenericService *service_;
  grpc::ServerCompletionQueue *queue_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_;
  grpc::ByteBuffer bytes_;
  int step_ = 0;
};

}  // namespace

int main(int count, char **words) {
  if (count != 2) return 2;
  grpc::AsyncGenericService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(words[1], grpc::InsecureServerCredentials());
  builder.RegisterAsyncGenericService(&service);
  std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  std::thread worker([&] {
    void *tag = nullptr;
    bool is_ok = false;
    new Call(&service, queue.get());
    while (queue->Next(&tag, &is_ok)) static_cast<Call *>(tag)->Step(is_ok);
  });
  std::puts("serving");
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  server->Shutdown(std::chrono::system_clock::now());
  queue->Shutdown();
  worker.join();
  return 0;
}
