//! The answers that PetPooja expects, each callback another.

use crate::Reply;

/// The answer to the callback of that path. Tillwatch knows no opening hours, so a restaurant is open.
pub(super) fn accepted(path: &str, id: &str) -> Reply {
    let said = match path {
        "menu" | "menu-update" => r#""success":"1""#,
        "item-stock" | "inventory-update" => r#""code":"200","status":"success""#,
        "store-status" => r#""http_code":200,"status":"success","store_status":"1""#,
        "store-status-update" => r#""http_code":200,"status":"success""#,
        // For orders no form is told, and a URL without a path is any callback's: whichever field is looked for is there.
        _ => r#""success":"1","code":"200","http_code":200,"status":"success","store_status":"1""#,
    };
    Reply::json(format!(r#"{{{said},"message":"accepted as {id}"}}"#))
}

#[cfg(test)]
mod tests {
    use crate::request::SUFFIX;
    use crate::{Headers, Provider, petpooja::PetPooja};

    fn answer(suffix: &str) -> serde_json::Value {
        let reply = PetPooja.accepted(&Headers::from_iter([(SUFFIX, suffix)]), "req_1");
        assert_eq!((reply.status, reply.content_type), (200, "application/json"));
        serde_json::from_str(&reply.body).unwrap()
    }

    #[test]
    fn each_callback_is_answered_in_the_form_that_it_expects() {
        let menu = serde_json::json!({"success": "1", "message": "accepted as req_1"});
        assert_eq!((answer("/harbour/menu"), answer("/menu-update")), (menu.clone(), menu));
        let stock = serde_json::json!({"code": "200", "status": "success", "message": "accepted as req_1"});
        assert_eq!((answer("/harbour/item-stock"), answer("/inventory-update")), (stock.clone(), stock));
        let store = answer("/harbour/store-status");
        assert_eq!((&store["http_code"], &store["store_status"]), (&200.into(), &"1".into()));
    }

    #[test]
    fn a_url_without_a_path_is_answered_in_every_form_at_once() {
        let answer = answer("/harbour");
        assert_eq!((&answer["success"], &answer["code"]), (&"1".into(), &"200".into()));
        assert_eq!((&answer["http_code"], &answer["status"]), (&200.into(), &"success".into()));
    }
}
