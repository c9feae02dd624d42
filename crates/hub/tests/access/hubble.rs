//! Hubble's clients come in by the same doors, and see the same.

use model::line::Way;
use prost::Message;
use proto::hubble::flow::FlowFilter;
use proto::hubble::observer::get_flows_response::ResponseTypes;
use proto::hubble::observer::observer_client::ObserverClient;
use proto::hubble::observer::{
    GetFlowsRequest, GetNamespacesRequest, GetNodesRequest, ServerStatusRequest,
};
use proto::telemetry::{self as wire, observed, question};
use tonic::{Code, Request};

use super::cluster::{ALL, KIM, OTHER, SOON, channel, cluster};
use super::people::line;

const SERVED: &str = "[hubble]\nlisten = \"127.0.0.1:0\"\n[access]\ntokens = true\n";
/// "token:token-of-kim", as `hubble --basic-auth-password` sends it.
const BASIC: &str = "Basic dG9rZW46dG9rZW4tb2Yta2lt";

fn with<T>(message: T, authorization: &str) -> Request<T> {
    let mut request = Request::new(message);
    if !authorization.is_empty() {
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    }
    request
}

#[test]
fn a_client_shows_a_token_and_is_told_of_what_it_may_see() {
    let cluster = cluster(SERVED);
    let _agent = cluster.tell();
    let (out, mut questions) = cluster.observed();
    cluster.runtime.block_on(async {
        let mut client = ObserverClient::new(channel(cluster.app.hubble_address().unwrap()).await);
        for wrong in ["", "Bearer nothing", &format!("Bearer {OTHER}"), "Basic a2ltOng=", "Basic ?"]
        {
            let flows = client.get_flows(with(GetFlowsRequest::default(), wrong)).await;
            assert_eq!(flows.map(|_| ()).unwrap_err().code(), Code::Unauthenticated, "{wrong}");
            let status = client.server_status(with(ServerStatusRequest {}, wrong)).await;
            assert_eq!(status.unwrap_err().code(), Code::Unauthenticated, "{wrong}");
        }
        for (token, expected) in [(ALL, &["bank", "shop"][..]), (KIM, &["shop"])] {
            let token = format!("Bearer {token}");
            let told = client.get_namespaces(with(GetNamespacesRequest {}, &token)).await.unwrap();
            let names: Vec<String> =
                told.into_inner().namespaces.into_iter().map(|it| it.namespace).collect();
            assert_eq!(names, expected);
            // Kim has no pods anywhere.
            let told = client.get_nodes(with(GetNodesRequest {}, &token)).await.unwrap();
            assert_eq!(told.into_inner().nodes.len(), expected.len() - 1);
        }
        let filter = |pod: &str| FlowFilter { source_pod: vec![pod.into()], ..Default::default() };
        let request = |filter: FlowFilter| GetFlowsRequest {
            whitelist: vec![filter.encode_to_vec().into()],
            follow: true,
            ..Default::default()
        };
        for pod in ["bank/", "nowhere/x"] {
            let error = client.get_flows(with(request(filter(pod)), BASIC)).await;
            assert_eq!(error.map(|_| ()).unwrap_err().code(), Code::PermissionDenied, "{pod}");
        }
        // The agent may not be known at once.
        let (flows, question) = loop {
            let flows = client.get_flows(with(request(FlowFilter::default()), BASIC)).await;
            let mut flows = flows.unwrap().into_inner();
            let first = flows.message().await.unwrap().unwrap();
            let Some(ResponseTypes::NodeStatus(status)) = first.response_types else { continue };
            if status.node_names.is_empty() {
                continue;
            }
            let asked = loop {
                let next = tokio::time::timeout(SOON, questions.message()).await.unwrap();
                let next = next.unwrap().unwrap();
                if let Some(question::Kind::Ask(ask)) = next.kind {
                    assert_eq!(ask.scope.unwrap().namespaces, ["shop"]);
                    break next.question;
                }
            };
            break (flows, asked);
        };
        let told = [
            line(Way::Egress, "bank", "bank"),
            line(Way::Ingress, "shop", "bank"),
            line(Way::Egress, "shop", "bank"),
        ];
        let lines = wire::Lines { question, lines: told.concat().into(), lost: 0 };
        let answer = wire::Observed { kind: Some(observed::Kind::Lines(lines)) };
        out.send(answer).await.unwrap();
        let mut flows = flows;
        let shown = tokio::time::timeout(SOON, flows.message()).await.unwrap().unwrap().unwrap();
        let Some(ResponseTypes::Flow(flow)) = shown.response_types else { panic!("{shown:?}") };
        let text = format!("{flow:?}");
        assert!(text.contains("shop-pod") && !text.contains("bank"), "{text}");
    });
    cluster.app.shutdown().unwrap();
}
